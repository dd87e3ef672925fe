package apiclient

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// errHangs is why a node was passed by that took a request and said nothing.
var errHangs = errors.New("took the request and says nothing")

// patience is how long the i-th address may take to begin its answer before the next is asked: its share of the
// timeout, so that a node that hangs does not use up the time of those that do not. 0 is without a bound: there is no
// next one, or it may not be asked.
func (c *Client) patience(r Request, i int) time.Duration {
	if i == len(c.bases)-1 || !mayAskNext(r, errHangs) {
		return 0
	}
	return c.timeout / time.Duration(len(c.bases))
}

// patiently sends a request and gives up when the answer has not begun in time; its body may take as long as it needs.
func (c *Client) patiently(ctx context.Context, limit time.Duration, send func(context.Context) (*http.Response, error)) (*http.Response, error) {
	if limit <= 0 {
		return send(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(limit, func() { cancel(errHangs) })
	answer, err := send(ctx)
	switch inTime := timer.Stop(); {
	case err != nil && errors.Is(context.Cause(ctx), errHangs):
		return nil, errHangs
	case err != nil:
		cancel(nil)
		return nil, err
	case !inTime:
		answer.Body.Close()
		return nil, errHangs
	}
	answer.Body = endsWith{answer.Body, cancel}
	return answer, nil
}

// endsWith is a body whose request's context ends with it.
type endsWith struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (b endsWith) Close() error {
	defer b.cancel(nil)
	return b.ReadCloser.Close()
}
