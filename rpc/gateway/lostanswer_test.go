package gateway_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

// counted counts the inspections of a node.
type counted struct {
	gateway.Examiner
	mu   *sync.Mutex
	made *int
}

func (x counted) Inspect(ctx context.Context, group uint32, cut string, progress func(int64)) (antientropy.Inspected, error) {
	x.mu.Lock()
	*x.made++
	x.mu.Unlock()
	return x.Examiner.Inspect(ctx, group, cut, progress)
}

// A deep check reads each replica once, though the answer about it is lost on its way, as often as the asker bears; the
// next deep check reads it anew.
func TestAnInspectionWhoseAnswerIsLostIsNotMadeTwice(t *testing.T) {
	for _, mode := range []string{api.ModeAdvancedVerify, api.ModeVerify} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			made, lost := [3]int{}, 0
			c := fakecluster.New(t, fakecluster.Options{Configure: func(n int, cfg *gateway.Config) {
				cfg.Examiner = counted{cfg.Examiner, &mu, &made[n]}
			}})
			fill(t, c, 20, 10)
			c.OnCall(func(_, to string, method gateway.Method) (before, after error) {
				mu.Lock()
				defer mu.Unlock()
				if method == gateway.MethodInspect && to == "n2" && lost < 3 {
					lost++
					return nil, gateway.ErrBroken
				}
				return nil, nil
			})
			for check := 1; check <= 2; check++ {
				job, err := c.Nodes[0].Gateway.Verify(t.Context(), api.VerifyRequest{Groups: []uint32{3}, Mode: mode, Deep: true})
				if err != nil {
					t.Fatal(err)
				}
				var r api.VerifyResult
				job = finished(t, c.Nodes[0].Gateway, job.ID)
				if err := json.Unmarshal(job.Result, &r); err != nil || r.ExitCode() != 0 {
					t.Fatalf("%s: %+v, %v", mode, r, err)
				}
				mu.Lock()
				if made != [3]int{check, check, check} || lost != 3 {
					t.Errorf("%s: check %d: inspections: %v, %d lost answers", mode, check, made, lost)
				}
				mu.Unlock()
			}
		})
	}
}
