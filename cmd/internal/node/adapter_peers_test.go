package node

import (
	"errors"
	"fmt"
	"testing"

	"github.com/flotilla-db/flotilla/membership/directory"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/raftmux"
)

// What may have been executed is never told as what was not, whatever else the error wraps.
func TestErrorsOfCallsSayWhatIsKnown(t *testing.T) {
	remote := func(code raftmux.Code) error {
		return fmt.Errorf("call: %w", &raftmux.RemoteError{Code: code, Text: "text"})
	}
	for _, tt := range []struct {
		name    string
		err     error
		class   error // of the gateway; nil: none
		notSent bool  // to the directory
	}{
		{"broken", raftmux.ErrBroken, gateway.ErrBroken, false},
		{"broken by the own close", fmt.Errorf("%w: n2: %w", raftmux.ErrBroken, raftmux.ErrClosed), gateway.ErrBroken, false},
		{"broken, unreachable since", fmt.Errorf("%w: n2: %w", raftmux.ErrBroken, raftmux.ErrUnreachable), gateway.ErrBroken, false},
		{"broken, busy since", fmt.Errorf("%w: n2: %w", raftmux.ErrBroken, raftmux.ErrBusy), gateway.ErrBroken, false},
		{"broken, and the peer refused", fmt.Errorf("%w: %w", raftmux.ErrBroken, remote(raftmux.CodeShutdown)), gateway.ErrBroken, false},
		{"closed", raftmux.ErrClosed, gateway.ErrUnreachable, true},
		{"unreachable, closed", fmt.Errorf("%w: n2: %w", raftmux.ErrUnreachable, raftmux.ErrClosed), gateway.ErrUnreachable, true},
		{"busy", raftmux.ErrBusy, gateway.ErrBusy, true},
		{"busy there", remote(raftmux.CodeBusy), gateway.ErrBusy, true},
		{"too large", raftmux.ErrTooLarge, gateway.ErrRefused, false},
		{"shutting down there", remote(raftmux.CodeShutdown), gateway.ErrNotApplied, true},
		{"the handler's error", remote(raftmux.CodeHandler), nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := gatewayError(tt.err)
			for _, class := range []error{gateway.ErrBroken, gateway.ErrUnreachable, gateway.ErrBusy, gateway.ErrRefused, gateway.ErrNotApplied} {
				if errors.Is(got, class) != (class == tt.class) {
					t.Errorf("gateway sees %q, is %q: %v", got, class, class != tt.class)
				}
			}
			if got := notDelivered(tt.err); errors.Is(got, directory.ErrNotDelivered) != tt.notSent || !errors.Is(got, tt.err) {
				t.Errorf("directory sees %q", got)
			}
		})
	}
	if gatewayError(nil) != nil || notDelivered(nil) != nil {
		t.Error("no error became one")
	}
}
