//! Errors of the API: `application/problem+json` (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::engine::conductor::Rejected;
use crate::engine::ports::RoomError;

/// What went wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Problem {
    title: String,
    status: u16,
    detail: String,
    /// After how many seconds the same again may succeed, if it may.
    #[serde(skip)]
    retry_after: Option<u64>,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            retry_after: None,
        }
    }

    /// The same again may succeed after so many seconds.
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    pub fn title(&self) -> &str {
        &self.title
    }

    pub fn detail(&self) -> &str {
        &self.detail
    }

    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        // A 401 names the way to say who one is (RFC 9110, 15.5.2).
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<RoomError> for Problem {
    fn from(error: RoomError) -> Self {
        match error {
            RoomError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, format!("{error}. GET /api/rooms lists them.")),
            RoomError::ListensOnly(_) => {
                Self::new(StatusCode::FORBIDDEN, format!("{error}. Say it in a room that hosts a rollout."))
            }
            RoomError::Lost(_) | RoomError::Store(_) | RoomError::Unclear(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            }
        }
    }
}

impl From<Rejected> for Problem {
    fn from(rejected: Rejected) -> Self {
        let status = match rejected {
            Rejected::Refused(_) | Rejected::NeedsForm { .. } => StatusCode::CONFLICT,
            Rejected::Busy(_)
            | Rejected::NotRecorded(_)
            | Rejected::FateUnknown(_)
            | Rejected::Unreadable(_)
            | Rejected::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        };
        // A journal that failed needs its operator; asking again and again helps nobody.
        let retry_after = matches!(rejected, Rejected::Busy(_) | Rejected::Stopping).then_some(1);
        Self { retry_after, ..Self::new(status, rejected.to_string()) }
    }
}

/// Takes JSON from a body, with errors that say what was wrong.
pub(super) struct Json<T>(pub T);

impl<T, S> axum::extract::FromRequest<S> for Json<T>
where
    axum::Json<T>: axum::extract::FromRequest<S, Rejection = axum::extract::rejection::JsonRejection>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, Problem> {
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::new(rejection.status(), without_types(&rejection.body_text()))),
        }
    }
}

/// What was expected, without what it is called in here: `expected struct SayBody with 3 elements` is an object.
fn without_types(says: &str) -> String {
    let Some((before, after)) = says.split_once("struct ") else { return says.to_owned() };
    let after = after.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
    let after = after.strip_prefix(" with ").map_or(after, |counted| {
        let counted = counted.trim_start_matches(|c: char| c.is_ascii_digit());
        counted.strip_prefix(" elements").or_else(|| counted.strip_prefix(" element")).unwrap_or(counted)
    });
    format!("{before}an object{after}")
}

/// Takes what follows the `?` of an address, with errors that say what was wrong.
pub(super) struct Query<T>(pub T);

impl<T, S> axum::extract::FromRequestParts<S> for Query<T>
where
    axum::extract::Query<T>: axum::extract::FromRequestParts<S, Rejection = axum::extract::rejection::QueryRejection>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::new(rejection.status(), rejection.body_text())),
        }
    }
}

/// Takes the parts of an address, with errors that say what was wrong.
pub(super) struct Path<T>(pub T);

impl<T, S> axum::extract::FromRequestParts<S> for Path<T>
where
    axum::extract::Path<T>: axum::extract::FromRequestParts<S, Rejection = axum::extract::rejection::PathRejection>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::new(rejection.status(), rejection.body_text())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_sends_something_else_is_told_in_words_of_json() {
        let says = "invalid length 0, expected struct SayBody with 3 elements at line 1 column 2";
        assert_eq!(without_types(says), "invalid length 0, expected an object at line 1 column 2");
        assert_eq!(without_types("invalid type: null, expected struct A_b1"), "invalid type: null, expected an object");
        assert_eq!(without_types("missing field `text`"), "missing field `text`");
    }
}
