package checking

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

// rootsOf are the roots of a copy's witnesses.
type rootsOf struct {
	checksOf
	at func(ctx context.Context, asked string) (equal bool)
}

func (r rootsOf) RootsAt(ctx context.Context, group uint32, cut, except string) (equal bool) {
	return r.at(ctx, fmt.Sprint(group, " ", cut, " ", except))
}

// Replicas that differ at the cut of a copy are checked at once, with repair, though nothing is held against the replica of
// this node; equal ones are not, nor those of a node that is to make no checks by itself.
func TestWitnessesThatDifferAreChecked(t *testing.T) {
	for name, tt := range map[string]struct {
		equal, enabled bool
		checks         int
	}{
		"differ":               {false, true, 1},
		"are equal":            {true, true, 0},
		"differ, made by hand": {false, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var checked []string
				s := newSuspects(&Config{
					Settings: func() config.AntiEntropy { return config.AntiEntropy{Enabled: tt.enabled} },
					Group:    func(uint32) (*raftgroup.Group, error) { return new(raftgroup.Group), nil },
					Logger:   slog.New(slog.DiscardHandler),
					Checks: rootsOf{checksOf{check: func(group uint32, o antientropy.Options) (antientropy.Report, error) {
						checked = append(checked, fmt.Sprint(group, o.Repair))
						return antientropy.Report{}, nil
					}}, func(_ context.Context, asked string) bool {
						if asked != "7 the cut n3" {
							t.Errorf("roots of %q", asked)
						}
						return tt.equal
					}},
				})
				ctx, cancel := context.WithCancel(t.Context())
				over := make(chan struct{})
				go func() { defer close(over); s.Run(ctx) }()
				s.Witness(ctx, 7, "the cut", "n3")
				synctest.Wait()
				if len(checked) != tt.checks || tt.checks > 0 && checked[0] != "7 true" {
					t.Errorf("checked were %q", checked)
				}
				cancel()
				<-over
			})
		})
	}
}

// Who tells its root late keeps nobody waiting for ever.
func TestWitnessesAreWaitedForABoundedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSuspects(&Config{Checks: rootsOf{at: func(ctx context.Context, _ string) bool { <-ctx.Done(); return true }}})
		began := time.Now()
		s.Witness(t.Context(), 7, "the cut", "n3")
		if took := time.Since(began); took != witnessLimit {
			t.Errorf("it took %v", took)
		}
	})
}
