package resyncbench

import (
	"fmt"
	"runtime"
	"slices"
	"sort"
)

// Report is what `bench resync -o json` and `bench check -o json` print.
type Report struct {
	Bytes    int64     `json:"bytes"` // leaf bytes of all groups, on each node
	Groups   int       `json:"groups"`
	Leaves   int       `json:"leaves"` // of all groups
	Runs     int       `json:"runs"`
	CPUs     int       `json:"cpus"`
	Measures []Measure `json:"measures"`
	Notes    []string  `json:"notes"` // what was measured otherwise than asked, or not at all
}

// Measure is one number: the median of the runs, and each of them.
type Measure struct {
	Scene  string    `json:"scene"`
	Name   string    `json:"name"`
	Unit   string    `json:"unit"`
	Median float64   `json:"median"`
	Values []float64 `json:"values"`
	Goal   string    `json:"goal"` // "" where there is none
	Held   *bool     `json:"held"` // null where there is no goal
}

// goal is what a measure should reach: at least or at most so much.
type goal struct {
	least bool
	limit float64
}

// goals by the name of the measure.
var goals = map[string]goal{
	"full copy":                          {true, 180},
	"full copy against cp, sync and sum": {true, 0.5},
	"proof, a core":                      {true, 400},
	"delta, bytes moved":                 {false, 3},
	"delta, times faster than full":      {true, 20},
	"replay":                             {true, 50_000},
	"comparison, clean digests":          {false, 100},
	"write pause, p99":                   {false, 20},
	"write pauses aborted":               {false, 1},
	"p99 during a copy against before":   {false, 2},
	"memory of a source above idle":      {false, 64},
	"memory of the target above idle":    {false, 64},

	"check of all groups, nothing changed":              {false, 1000},
	"check of all groups, nothing changed, on the wire": {false, 1},
	"deep check, a core":                                {true, 400},
	"repair of a follower's damaged leaf":               {false, 1000},
	"repair of a leader's damaged leaf":                 {false, 1000},
	"bytes moved for a leaf":                            {false, 3},
	"p99 during a deep check against before":            {false, 1.5},
	"rate of a deep check, off the one set":             {false, 10},
}

// ledger gathers what the scenes measure.
type ledger struct {
	order []string
	by    map[string]*Measure
	notes []string
}

func newLedger() *ledger { return &ledger{by: map[string]*Measure{}} }

func (l *ledger) add(scene, name, unit string, value float64) {
	m := l.by[name]
	if m == nil {
		m = &Measure{Scene: scene, Name: name, Unit: unit, Values: []float64{}}
		l.by[name], l.order = m, append(l.order, name)
	}
	m.Values = append(m.Values, value)
}

// note says something once.
func (l *ledger) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(l.notes, text) {
		l.notes = append(l.notes, text)
	}
}

// median of a measure so far.
func (l *ledger) median(name string) (float64, bool) {
	m := l.by[name]
	if m == nil {
		return 0, false
	}
	return median(m.Values), true
}

func median(values []float64) float64 {
	sorted := slices.Clone(values)
	sort.Float64s(sorted)
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

func (l *ledger) report(bytes int64, runs int) *Report {
	r := &Report{Bytes: bytes, Groups: totalGroups, Leaves: totalGroups * leaves, Runs: runs, CPUs: runtime.NumCPU(),
		Measures: []Measure{}, Notes: append([]string{}, l.notes...)}
	for _, name := range l.order {
		m := *l.by[name]
		m.Median = median(m.Values)
		if g, ok := goals[name]; ok {
			held := m.Median <= g.limit
			m.Goal = fmt.Sprintf("at most %g", g.limit)
			if g.least {
				held, m.Goal = m.Median >= g.limit, fmt.Sprintf("at least %g", g.limit)
			}
			m.Held = &held
		}
		r.Measures = append(r.Measures, m)
	}
	return r
}
