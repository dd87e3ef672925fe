package leafstream

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/flotilla-db/flotilla/snapshot/transfer"
)

// The service is described by hand: its messages are raw bytes.
const (
	serviceName = "flotilla.leaves.v1.Leaves"
	fetchName   = "Fetch"
	fetchMethod = "/" + serviceName + "/" + fetchName
)

var fetchDesc = grpc.StreamDesc{StreamName: fetchName, ServerStreams: true}

// fetcher is what gRPC checks the registered implementation against.
type fetcher interface{ fetch(grpc.ServerStream) error }

// causes are the errors that mean something to the other end, and the codes that carry them. Anything else is Unknown.
var causes = []struct {
	err  error
	code codes.Code
}{
	{transfer.ErrNotPinned, codes.NotFound},
	{transfer.ErrNotServed, codes.FailedPrecondition},
	{transfer.ErrBusy, codes.ResourceExhausted},
	{transfer.ErrMessage, codes.InvalidArgument},
}

// statusOf is the error as it leaves the server.
func statusOf(err error) error {
	if err == nil {
		return nil
	}
	for _, c := range causes {
		if errors.Is(err, c.err) {
			return status.Error(c.code, err.Error())
		}
	}
	if errors.Is(err, context.Canceled) {
		return status.Error(codes.Canceled, err.Error())
	}
	return status.Error(codes.Unknown, err.Error())
}

// failure is a status from the server that means err.
type failure struct {
	text string
	err  error
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.err }

// errorOf is the error as the client sees it.
func errorOf(err error) error {
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	for _, c := range causes {
		if st.Code() == c.code {
			return &failure{text: st.Message(), err: c.err}
		}
	}
	return err
}
