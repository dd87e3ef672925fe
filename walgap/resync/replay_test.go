package resync

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
)

// tellingReplica has applied what a job waits for after a while.
type tellingReplica struct {
	Replica
	after time.Duration
	err   error
	asked uint64
}

func (r *tellingReplica) AwaitApplied(ctx context.Context, index uint64) error {
	r.asked = index
	if err := pause.For(ctx, r.after); err != nil {
		return err
	}
	return r.err
}

// A pause of a replay ends when the goal is applied, once; one of a replica that
// does not tell, or that cannot, is as long as it is.
func TestReplayIsLookedAtWhenTheGoalIsApplied(t *testing.T) {
	const whole, soon = 200 * time.Millisecond, 37 * time.Millisecond
	for name, c := range map[string]struct {
		replica Replica
		told    bool
		tells   bool
		takes   time.Duration
	}{
		"Applied":         {&tellingReplica{after: soon}, false, true, soon},
		"ToldBefore":      {&tellingReplica{after: soon}, true, true, whole},
		"NotRunning":      {&tellingReplica{err: errors.New("it does not run")}, false, false, whole},
		"NotInThatPause":  {&tellingReplica{after: time.Minute}, false, false, whole},
		"DoesNotTellThat": {&fakeReplica{}, false, false, whole},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j, began := &job{replica: c.replica, goal: 9}, time.Now()
				told, err := j.awaitGoal(t.Context(), whole, c.told)
				if took := time.Since(began); told != c.tells || err != nil || took != c.takes {
					t.Errorf("told %v after %v: %v", told, took, err)
				}
				if r, tells := c.replica.(*tellingReplica); tells && !c.told && r.asked != 9 {
					t.Errorf("it was asked for %d", r.asked)
				}
				ended := errors.New("the job ends")
				ctx, cancel := context.WithCancelCause(t.Context())
				cancel(ended)
				if _, err := j.awaitGoal(ctx, whole, true); !errors.Is(err, ended) {
					t.Errorf("the end of the job is not seen: %v", err)
				}
			})
		})
	}
}
