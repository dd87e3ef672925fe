package ledger

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/flotilla-db/flotilla/storage"
)

const (
	// readersAtOnce bounds the devices that a check reads at the same time.
	readersAtOnce = 16
	// examplesKept bounds the findings that a report spells out.
	examplesKept = 10
)

// Source reads a device back: yield gets each point, times ascending.
type Source interface {
	Read(ctx context.Context, s storage.Series, yield func(storage.Point) error) error
}

// Report is the result of a check.
type Report struct {
	Acked   int // points acknowledged
	Open    int // points attempted with an unknown outcome
	Read    int // points read back
	Missing int // acked and not there
	Wrong   int // there with other values
	Extra   int // there and never attempted

	Examples []string // the first findings, in words
}

// OK reports whether every promise was kept.
func (r Report) OK() bool { return r.Missing == 0 && r.Wrong == 0 && r.Extra == 0 }

func (r Report) String() string {
	return fmt.Sprintf("%d acked, %d read back, %d missing, %d wrong, %d never written", r.Acked, r.Read, r.Missing, r.Wrong, r.Extra)
}

// Check reads every device and compares. An error means that it could not be read.
func (l *Ledger) Check(ctx context.Context, src Source) (Report, error) {
	reports := make([]Report, l.Devices)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readersAtOnce)
	for device := range l.Devices {
		g.Go(func() error {
			r, err := l.checkDevice(ctx, src, device)
			reports[device] = r
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return Report{}, err
	}
	var total Report
	for _, r := range reports {
		total.Acked += r.Acked
		total.Open += r.Open
		total.Read += r.Read
		total.Missing += r.Missing
		total.Wrong += r.Wrong
		total.Extra += r.Extra
		total.Examples = append(total.Examples, r.Examples[:min(len(r.Examples), examplesKept-len(total.Examples))]...)
	}
	return total, nil
}

func (l *Ledger) checkDevice(ctx context.Context, src Source, device int) (Report, error) {
	l.mu.Lock()
	state := append([]outcome(nil), l.devices[device].state...)
	l.mu.Unlock()

	var r Report
	series := l.Series(device)
	seen := make([]bool, len(state))
	err := src.Read(ctx, series, func(p storage.Point) error {
		r.Read++
		seq, onPlan := l.sequence(p.Time)
		switch {
		case !onPlan || seq >= len(state) || state[seq] == untried:
			r.Extra++
			r.note("%s at %d: never written", series.Device, p.Time)
		case !samePoint(p, l.Point(device, seq)):
			r.Wrong++
			r.note("%s point %d: %v, want %v", series.Device, seq, p.Fields, l.Point(device, seq).Fields)
			seen[seq] = true
		default:
			seen[seq] = true
		}
		return nil
	})
	if err != nil {
		return Report{}, fmt.Errorf("read %s back: %w", series.Device, err)
	}
	for seq, o := range state {
		switch {
		case o == acked && !seen[seq]:
			r.Acked++
			r.Missing++
			r.note("%s point %d: acked and missing", series.Device, seq)
		case o == acked:
			r.Acked++
		case o == open:
			r.Open++
		}
	}
	return r, nil
}

func (r *Report) note(format string, args ...any) {
	if len(r.Examples) < examplesKept {
		r.Examples = append(r.Examples, fmt.Sprintf(format, args...))
	}
}

// sequence is the inverse of Time.
func (l *Ledger) sequence(t int64) (seq int, onPlan bool) {
	d := t - l.Start.UnixNano()
	if d < 0 || d%int64(l.Step) != 0 {
		return 0, false
	}
	return int(d / int64(l.Step)), true
}

// samePoint compares series, time and field by field; both are sorted by name.
func samePoint(a, b storage.Point) bool {
	if a.Series != b.Series || a.Time != b.Time || len(a.Fields) != len(b.Fields) {
		return false
	}
	for i := range a.Fields {
		if a.Fields[i] != b.Fields[i] {
			return false
		}
	}
	return true
}
