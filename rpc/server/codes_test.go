package server

import (
	"testing"

	"google.golang.org/grpc/codes"

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
