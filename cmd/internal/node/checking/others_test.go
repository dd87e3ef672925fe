package checking

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

// accused is a replica that is suspect until `mended`; until `checked` a check has a cut in it, and from then to `back` it is away.
type accused struct {
	checked, back, mended time.Time
	purpose               string // of the cut
	why                   error  // of being away
}

func (a *accused) Suspicion() (raftgroup.Suspicion, bool) {
	return raftgroup.Suspicion{Why: "a block fails its CRC"}, time.Now().Before(a.mended)
}

func (a *accused) Leases() ([]storage.Record, error) {
	switch now := time.Now(); {
	case now.Before(a.checked):
		return []storage.Record{{Purpose: "resync", Log: true}, {Purpose: a.purpose, View: true}}, nil
	case now.Before(a.back):
		return nil, a.why
	}
	return nil, nil
}

// A replica that is suspect is left to the check that has met it, as long as that goes on; and to nobody who does nothing.
func TestASuspectReplicaIsLeftToTheCheckThatMetIt(t *testing.T) {
	const s = time.Second
	for name, tt := range map[string]struct {
		checked, back, mended time.Duration
		purpose               string
		why                   error
		others                bool
		waits                 time.Duration // at least; and not for a second more
	}{
		"nobody checks it":            {mended: time.Hour},
		"a copy has a cut in it":      {checked: time.Hour, mended: time.Hour, purpose: "resync"},
		"it does not run":             {back: time.Hour, mended: time.Hour, why: raftgroup.ErrClosed},
		"checked, repaired":           {checked: 5 * s, back: 8 * s, mended: 8*s + othersGrace/2, others: true, waits: 8*s + othersGrace/2},
		"repaired after a moment":     {checked: 5 * s, mended: 5*s + othersGrace/2, others: true, waits: 5*s + othersGrace/2},
		"checked without repair":      {checked: 5 * s, mended: time.Hour, waits: 5*s + othersGrace},
		"repaired, not well":          {checked: 5 * s, back: 8 * s, mended: time.Hour, waits: 8*s + othersGrace},
		"a check that takes for ever": {checked: time.Hour, mended: time.Hour, waits: othersBound},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				now := time.Now()
				a := &accused{now.Add(tt.checked), now.Add(tt.back), now.Add(tt.mended), antientropy.CutPurpose, raftgroup.ErrAway}
				if tt.purpose != "" {
					a.purpose = tt.purpose
				}
				if tt.why != nil {
					a.why = tt.why
				}
				others := othersMended(t.Context(), a)
				if waited := time.Since(now); others != tt.others || waited < tt.waits-othersPoll || waited >= tt.waits+s {
					t.Errorf("after %v: mended by others: %t", waited, others)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // a node that ends does not wait
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		forever := began.Add(time.Hour)
		if othersMended(ctx, &accused{forever, forever, forever, antientropy.CutPurpose, nil}) || time.Since(began) > s {
			t.Error("it waits, or says that others mended it")
		}
	})
}
