//! Amazon Web Services.

use super::ParameterKind::{Map, Number, Text};
use super::{Kind, Operation, may, needs};

pub(super) const AWS: Kind = Kind {
    name: "aws",
    operations: &[
        Operation {
            name: "autoscaling.prescale",
            about: "Raises an Auto Scaling group to the size of another and waits until its instances are in service",
            changes: true,
            inputs: &[
                needs("group", Text, "The group to raise, or the stack it belongs to"),
                needs("like", Text, "The group whose size it takes"),
            ],
            outputs: &[may("from", Number, "Its size before"), may("to", Number, "Its size now")],
        },
        Operation {
            name: "cloudformation.describe-stack",
            about: "Reads a CloudFormation stack's status and outputs",
            changes: false,
            inputs: &[needs("stack", Text, "The stack's name")],
            outputs: &[may("status", Text, "The stack's status"), may("*", Text, "The stack's own outputs")],
        },
        Operation {
            name: "cloudformation.update-stack",
            about: "Updates named parameters of a CloudFormation stack; the others keep their values",
            changes: true,
            inputs: &[needs("stack", Text, "The stack's name"), needs("parameters", Map, "The parameters to change")],
            outputs: &[may("status", Text, "The stack's status"), may("*", Text, "The stack's own outputs")],
        },
        Operation {
            name: "route53.switch-record",
            about: "Points a DNS record at another load balancer and waits until Route 53 has it everywhere",
            changes: true,
            inputs: &[
                needs("record", Text, "The record's name"),
                needs("target", Text, "The load balancer it points to, or the stack it belongs to"),
                may("zone", Text, "The hosted zone, where the name alone does not tell"),
            ],
            outputs: &[
                may("old", Text, "Where it pointed"),
                may("new", Text, "Where it points"),
                may("ttl", Number, "Its time to live in seconds"),
            ],
        },
        Operation {
            name: "s3.encryption-on",
            about: "Turns default encryption of an S3 bucket on",
            changes: true,
            inputs: &[
                needs("bucket", Text, "The bucket's name"),
                may("key", Text, "The KMS key; without one, the bucket's own keys"),
            ],
            outputs: &[may("algorithm", Text, "What it is encrypted with")],
        },
    ],
};
