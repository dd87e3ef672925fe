package reconcile

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestFailedProofsBackOff(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	var p proof
	var paused []time.Duration
	for range 12 {
		if why := p.unproven(id("n2"), now); why != "" {
			t.Fatalf("no proof at its time: %s", why)
		}
		p = p.failedOnce(errors.New("no answer"), now)
		if p.unproven(id("n2"), p.next.Add(-1)) == "" {
			t.Fatalf("a proof before its time, after %d", p.failed)
		}
		paused = append(paused, p.next.Sub(now))
		now = p.next
	}
	if paused[0] != time.Second || paused[1] != 2*time.Second || paused[11] != 5*time.Minute {
		t.Errorf("pauses %v", paused)
	}
}

func TestProofOfAServerThatItsNodeHasGivenUpDoesNotCount(t *testing.T) {
	again := id("n2")
	again.Generation++
	if err := stillIs(id("n2"), again); err == nil || strings.Contains(err.Error(), "%!") || !strings.Contains(err.Error(), again.String()) {
		t.Errorf("got %v", err)
	}
	if err := stillIs(again, again); err != nil {
		t.Error(err)
	}
}

func TestServerThatDiffersThriceIsNotProvenAgain(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	var p proof
	for i := range maxDiffering {
		if why := p.unproven(id("n2"), now); why != "" {
			t.Fatalf("proof %d: %s", i, why)
		}
		p = p.failedOnce(fmt.Errorf("it %w at index 7", errDiffers), now)
		now = now.Add(time.Hour)
	}
	if why := p.unproven(id("n2"), now); !strings.Contains(why, "differs from the leader at index 7") || !strings.Contains(why, "not tried again") {
		t.Errorf("why %q", why)
	}
}
