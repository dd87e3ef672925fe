// Package ledger remembers what a store promised and checks that it kept it.
//
// A Ledger belongs to a set of simulated devices. Each point of a device is a
// pure function of the device and a sequence number, so the ledger keeps no
// values: only which points were acknowledged and which were attempted without
// a known outcome. Load writes through a Sink and settles each attempt; Check
// reads everything back through a Source and compares: an acked point must be
// there with exactly its values, and nothing may be there that was never
// attempted. The demo, the crash tests and the soak runs all use it.
package ledger

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

// Names of the fields of a simulated point: three readings of two decimals.
const (
	fieldTemperature = "temperature"
	fieldHumidity    = "humidity"
	fieldVoltage     = "voltage"
)

// Plan says which points there are.
type Plan struct {
	Database, Collection string
	Devices              int
	Start                time.Time
	Step                 time.Duration // between two points of a device
}

// Series names the i-th device: "sim-00042".
func (p Plan) Series(device int) storage.Series {
	return storage.Series{Database: p.Database, Collection: p.Collection, Device: fmt.Sprintf("sim-%05d", device)}
}

// Time is that of point seq, in ns.
func (p Plan) Time(seq int) int64 { return p.Start.UnixNano() + int64(seq)*int64(p.Step) }

// Point is the one that device writes as its seq-th, from 0.
func (p Plan) Point(device, seq int) storage.Point {
	phase := float64(device%97) + float64(seq)/360
	reading := func(base, swing, shift float64) blocks.Value {
		return blocks.Float(math.Round(100*(base+swing*math.Sin(phase+shift))) / 100)
	}
	return storage.Point{Series: p.Series(device), Time: p.Time(seq), Fields: []storage.Field{
		{Name: fieldHumidity, Value: reading(55, 20, 1)},
		{Name: fieldTemperature, Value: reading(18, 9, 0)},
		{Name: fieldVoltage, Value: reading(230, 2, 2)},
	}}
}

// Ledger is safe for concurrent use.
type Ledger struct {
	Plan

	mu      sync.Mutex
	devices []account // guarded by mu
	waits   []Wait    // guarded by mu: longest wait a group since ResetWaits
	fresh   []bool    // guarded by mu: groups that acked a write begun since ResetWaits
	resetAt time.Time // guarded by mu
	groups  uint32    // number of groups
	acked   int       // guarded by mu
}

// account is what is known of one device's points; index is the sequence number.
type account struct{ state []outcome }

type outcome uint8

const (
	untried outcome = iota
	open            // attempted, and the outcome is not known
	acked
)

// Wait is how long one write of a group waited from its first attempt to its ack.
type Wait struct {
	Group    uint32
	Duration time.Duration
}

// New opens an empty ledger for a store with so many groups.
func New(p Plan, totalGroups uint32) *Ledger {
	return &Ledger{Plan: p, devices: make([]account, p.Devices), waits: make([]Wait, totalGroups), fresh: make([]bool, totalGroups), groups: totalGroups}
}

// Attempt notes that a point is about to be written.
func (l *Ledger) Attempt(device, seq int) { l.set(device, seq, open) }

// Ack notes that a point was acknowledged, so long after its first attempt.
func (l *Ledger) Ack(device, seq int, waited time.Duration) {
	l.set(device, seq, acked)
	group := l.groupOf(device)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked++
	if time.Now().Add(-waited).After(l.resetAt) {
		l.fresh[group] = true
	}
	if w := &l.waits[group]; waited > w.Duration {
		*w = Wait{Group: group, Duration: waited}
	}
}

func (l *Ledger) set(device, seq int, o outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := &l.devices[device]
	for len(a.state) <= seq {
		a.state = append(a.state, untried)
	}
	if a.state[seq] < o { // an ack is never taken back
		a.state[seq] = o
	}
}

// Acked is the number of points acknowledged so far.
func (l *Ledger) Acked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked
}

// Groups is the number of groups that the devices live in.
func (l *Ledger) Groups() int {
	in := map[uint32]bool{}
	for i := range l.Devices {
		in[l.groupOf(i)] = true
	}
	return len(in)
}

func (l *Ledger) groupOf(device int) uint32 {
	s := l.Series(device)
	return storage.GroupOf(s.Database, s.Collection, s.Device, l.groups)
}

// Next is the sequence number after the last one attempted for a device.
func (l *Ledger) Next(device int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.devices[device].state)
}

// ResetWaits forgets the waits measured so far.
func (l *Ledger) ResetWaits() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.waits)
	clear(l.fresh)
	l.resetAt = time.Now()
}

// LongestWait is the longest that any group's write waited since ResetWaits,
// and how many groups acknowledged a write that was begun since then.
func (l *Ledger) LongestWait() (longest Wait, groups int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for g, w := range l.waits {
		if l.fresh[g] {
			groups++
		}
		if w.Duration > longest.Duration {
			longest = w
		}
	}
	return longest, groups
}
