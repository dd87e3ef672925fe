package server

import (
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// Clients repeat UNAVAILABLE by themselves: only what was certainly not
// carried out may look like that.
func TestEveryCodeHasAStatusOfGRPC(t *testing.T) {
	for _, c := range api.Codes() {
		code, ok := grpcCodes[c]
		if !ok {
			t.Errorf("%s has none", c)
		}
		if c.Unknown() && code != codes.DeadlineExceeded {
			t.Errorf("%s is %s", c, code)
		}
		if code == codes.Unavailable && !c.Retryable() && c != api.IncompatiblePeer {
			t.Errorf("%s is not retryable and looks %s", c, code)
		}
	}
}

// An error of ours stays ours when a gRPC error between nodes was its cause.
func TestAProblemIsNotTakenForItsCause(t *testing.T) {
	cause := fmt.Errorf("read from node n3: %w", status.Error(codes.Internal, "connection broke"))
	s := status.Convert(statusOf(api.E(api.Unavailable, "retry", "3 groups could not be read").Because(cause)))
	if s.Code() != codes.Unavailable || len(s.Details()) != 1 {
		t.Errorf("%v, %d details", s, len(s.Details()))
	}
}
