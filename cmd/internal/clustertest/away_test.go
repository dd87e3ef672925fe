package clustertest

import (
	"strings"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// A replica that is away for a copy is waited for, and missing if that takes too long.
func TestAReplicaThatIsAwayForACopyIsWaitedFor(t *testing.T) {
	Run(t, 10*time.Minute, func(t *testing.T) {
		s := newRotScene(t, nil)
		const group = 3
		node := s.follower(t, group)
		g, _ := s.Group(node, group)
		for _, away := range []time.Duration{10 * time.Second, 3 * time.Minute} {
			h, err := g.TakeHold(t.Context(), "job")
			if err != nil {
				t.Fatal(err)
			}
			back := make(chan error, 1)
			time.AfterFunc(away, func() { back <- h.Release(t.Context()) })
			for _, r := range []api.VerifyRequest{{Groups: []uint32{group}, Deep: true}, {Groups: []uint32{group}}} {
				result := s.verify(t, r)
				if away < time.Minute && result.GroupsEqual != 1 {
					t.Errorf("back after %v: %+v", away, result)
				}
				if away > time.Minute && (result.GroupsUnchecked != 1 || !strings.Contains(result.Unchecked[0].Reason, "waits for the install of job job")) {
					t.Errorf("back after %v: %+v", away, result)
				}
			}
			if err := <-back; err != nil {
				t.Fatal(err)
			}
		}
	})
}
