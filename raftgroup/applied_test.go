package raftgroup

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Whoever waits for an entry hears of it when it is applied, and of the end of
// what would have applied it.
func TestWhoAwaitsAnEntryHearsWhenItIsApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		s.settle()
		at := s.leader.Status().AppliedIndex
		await := func(index uint64) <-chan error {
			done := make(chan error, 1)
			go func() { done <- s.replica().AwaitApplied(t.Context(), index) }()
			synctest.Wait()
			return done
		}
		heard := func(done <-chan error) error {
			select {
			case err := <-done:
				return err
			case <-time.After(time.Second):
				return errors.New("nothing is heard")
			}
		}
		if err := heard(await(at)); err != nil {
			t.Errorf("what is applied is waited for: %v", err)
		}
		next, later := await(at+1), await(at+100)
		s.write(1)
		s.write(1) // tells the target that the one before is committed
		synctest.Wait()
		if err := heard(next); err != nil || s.replica().Status().AppliedIndex <= at {
			t.Errorf("it is not applied: %v", err)
		}
		select {
		case err := <-later:
			t.Errorf("an entry that nobody wrote is applied: %v", err)
		default:
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.replica().AwaitApplied(ctx, at+100); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it waits longer than it may: %v", err)
		}
		s.stop(s.target, true)
		if err := heard(later); !errors.Is(err, ErrClosed) {
			t.Errorf("it has ended: %v", err)
		}
	})
}
