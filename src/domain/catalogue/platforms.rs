//! What software runs on: Docker, Heroku, Kubernetes, Rancher.

use super::ParameterKind::{Number, Text};
use super::{Kind, Operation, Parameter, may, needs};

const DOCKER_HOST: Parameter = may("host", Text, "The one machine that is meant");
const DOCKER_SIDE: Parameter = may("side", Text, "The side of a blue/green pair whose machines are meant");

pub(super) const DOCKER: Kind = Kind {
    name: "docker",
    operations: &[
        Operation {
            name: "prune",
            about: "Removes containers, networks and images that nothing uses",
            changes: true,
            inputs: &[DOCKER_SIDE, DOCKER_HOST],
            outputs: &[may("reclaimed", Text, "How much space became free")],
        },
        Operation {
            name: "pull",
            about: "Pulls images, so that they are there when containers start",
            changes: true,
            inputs: &[may("image", Text, "The image; without one, all that are configured"), DOCKER_SIDE, DOCKER_HOST],
            outputs: &[may("digest", Text, "What was pulled")],
        },
    ],
};

pub(super) const HEROKU: Kind = Kind {
    name: "heroku",
    operations: &[Operation {
        name: "scale",
        about: "Sets how many dynos of a Heroku app run",
        changes: true,
        inputs: &[
            needs("app", Text, "The app's name"),
            may("web", Number, "How many web dynos"),
            may("worker", Number, "How many worker dynos"),
        ],
        outputs: &[may("from", Text, "What ran before"), may("to", Text, "What runs now")],
    }],
};

const DEPLOYMENT: Parameter = needs("deployment", Text, "The deployment's name");
const NAMESPACE: Parameter = may("namespace", Text, "Its namespace, where the settings name none");
const ROLLED_OUT: &[Parameter] =
    &[may("revision", Number, "The deployment's revision"), may("ready", Number, "How many of its pods are ready")];

pub(super) const K8S: Kind = Kind {
    name: "k8s",
    operations: &[
        Operation {
            name: "set-image",
            about: "Gives a Kubernetes deployment another image and waits until it is rolled out",
            changes: true,
            inputs: &[
                DEPLOYMENT,
                may("image", Text, "The image; without one, what the settings say"),
                may("container", Text, "The container, where there are several"),
                NAMESPACE,
            ],
            outputs: ROLLED_OUT,
        },
        Operation {
            name: "undo",
            about: "Takes a Kubernetes deployment back to its revision before and waits until it is rolled out",
            changes: true,
            inputs: &[DEPLOYMENT, may("revision", Number, "Another revision than the one before"), NAMESPACE],
            outputs: ROLLED_OUT,
        },
    ],
};

pub(super) const RANCHER: Kind = Kind {
    name: "rancher",
    operations: &[Operation {
        name: "read-lb",
        about: "Reads which side a Rancher load balancer points to",
        changes: false,
        inputs: &[
            may("environment", Text, "The environment, where the settings name none"),
            may("balancer", Text, "The load balancer, where there are several"),
        ],
        outputs: &[may("active", Text, "The side that is served"), may("standby", Text, "The other side")],
    }],
};
