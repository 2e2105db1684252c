//! The request's body on its way in: bounded in time between frames, and in size where one message is all there is.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use crate::BoxError;

/// The largest gRPC message that is taken.
pub const MAX_MESSAGE: usize = 256 * 1024;
/// What gRPC writes before each message.
const PREFIX: usize = 5;
/// How long a caller may pause between two frames of a body.
pub(crate) const BETWEEN_FRAMES: Duration = Duration::from_secs(10);

pin_project! {
    /// A request's body.
    pub(crate) struct Upload<B> {
        #[pin]
        body: B,
        // Armed only while a frame is waited for.
        #[pin]
        timer: Option<Sleep>,
        // How many bytes may still come.
        room: Option<usize>,
    }
}

impl<B> Upload<B> {
    /// Of a plain HTTP request; its size is the interface's affair.
    pub(crate) fn http(body: B) -> Self {
        Self {
            body,
            timer: None,
            room: None,
        }
    }

    /// Of a gRPC request. Our methods take one message each, so the limit of a message is that of the body.
    pub(crate) fn grpc(body: B) -> Self {
        Self {
            room: Some(MAX_MESSAGE + PREFIX),
            ..Self::http(body)
        }
    }
}

impl<B> Body for Upload<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let Poll::Ready(frame) = this.body.poll_frame(cx) else {
            if this.timer.is_none() {
                this.timer.set(Some(sleep(BETWEEN_FRAMES)));
            }
            let timer = this.timer.as_mut().as_pin_mut().expect("it was just set");
            ready!(timer.poll(cx));
            let gap = BETWEEN_FRAMES.as_secs();
            return Poll::Ready(Some(Err(
                format!("the request's body paused for {gap} s").into()
            )));
        };
        this.timer.set(None);
        let Some(frame) = frame else {
            return Poll::Ready(None);
        };
        let frame = frame.map_err(Into::into)?;
        if let (Some(room), Some(data)) = (this.room.as_mut(), frame.data_ref()) {
            match room.checked_sub(data.len()) {
                Some(left) => *room = left,
                None => return Poll::Ready(Some(Err(Box::new(too_large())))),
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// tonic passes a status found among a body's errors on to the caller; this is the code it uses for a large message.
fn too_large() -> tonic::Status {
    tonic::Status::out_of_range(format!("request is larger than {MAX_MESSAGE} bytes"))
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full, StreamBody};
    use tokio::time::Instant;

    use super::*;

    fn silent() -> impl Body<Data = Bytes, Error = BoxError> + Unpin {
        StreamBody::new(futures_util::stream::pending())
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_body_ends_after_ten_seconds() {
        let started = Instant::now();
        let mut upload = Box::pin(Upload::http(silent()));
        let error = upload.frame().await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the request's body paused for 10 s");
        assert_eq!(started.elapsed(), BETWEEN_FRAMES);
    }

    #[tokio::test(start_paused = true)]
    async fn the_pause_is_counted_anew_after_each_frame() {
        let frames = futures_util::stream::unfold(0, |sent| async move {
            sleep(Duration::from_secs(9)).await;
            let frame = Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"x")));
            (sent < 3).then_some((frame, sent + 1))
        });
        let body = Upload::http(StreamBody::new(frames)).collect().await;
        assert_eq!(body.unwrap().to_bytes().len(), 3);
    }

    #[tokio::test]
    async fn a_grpc_message_has_a_largest_size() {
        let full = |bytes| Upload::grpc(Full::new(Bytes::from(vec![0; bytes])));
        assert!(full(PREFIX + MAX_MESSAGE).collect().await.is_ok());
        let error = full(PREFIX + MAX_MESSAGE + 1).collect().await.unwrap_err();
        let status = error.downcast::<tonic::Status>().unwrap();
        assert_eq!(status.code(), tonic::Code::OutOfRange);
    }
}
