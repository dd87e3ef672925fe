package raftlog

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"
)

// model is what one group's log must be: the acked state, and the states that the call in flight may leave
// behind if power goes before it returns.
type model struct {
	group      uint32
	first      uint64 // of terms; 0: empty
	terms      []uint64
	next       uint64
	generation uint32
	snapshot   uint64
	clock      uint64   // makes terms that never repeat
	pending    []*model // states that may be found instead
}

func (m *model) copy() *model {
	c := *m
	c.terms, c.pending = slices.Clone(m.terms), nil
	return &c
}

func (m *model) last() uint64 { return m.first + uint64(len(m.terms)) - 1 }

// step does one random operation on the log and on the model. It returns the log's error.
func (m *model) step(r *rand.Rand, l Log) error {
	if len(m.terms) == 0 {
		m.first = 0
	}
	switch k := r.IntN(20); {
	case k < 13 || m.first == 0 && k < 18:
		return m.append(r, l)
	case k < 16: // conflict truncation
		if m.first == 0 || m.last() <= m.snapshot {
			return nil
		}
		from := max(m.snapshot+1, m.first) + r.Uint64N(m.last()-max(m.snapshot, m.first-1))
		after := m.copy()
		after.terms = after.terms[:from-m.first]
		after.next = from
		return m.try(after, func() error { return l.DeleteRange(from, m.last()) })
	case k < 19: // compaction
		if m.first == 0 {
			return nil
		}
		m.snapshot = max(m.snapshot, m.first+r.Uint64N(uint64(len(m.terms))))
		to := m.snapshot
		after := m.copy()
		after.drop(to)
		return m.try(after, func() error { return l.DeleteRange(m.first, to) })
	default:
		after := m.copy()
		after.first, after.terms = 0, nil
		after.next = 1 + r.Uint64N(100)
		after.generation += uint32(r.IntN(2))
		after.snapshot = after.next - 1
		return m.try(after, func() error { return l.Reset(after.next, after.generation) })
	}
}

func (m *model) drop(to uint64) {
	if m.first == 0 || to < m.first {
		return
	}
	m.terms = m.terms[min(to-m.first+1, uint64(len(m.terms))):]
	m.first = to + 1
	if len(m.terms) == 0 {
		m.first, m.next = 0, to+1
	}
}

func (m *model) append(r *rand.Rand, l Log) error {
	next := m.next
	if m.first != 0 {
		next = m.last() + 1
	}
	if next == 0 {
		next = 1
	}
	after := m.copy()
	if after.first == 0 {
		after.first = next
	}
	var logs []*raft.Log
	for range 1 + r.IntN(4) {
		m.clock++
		after.terms = append(after.terms, m.clock)
		logs = append(logs, crashEntry(m.group, next, m.clock))
		next++
		m.pending = append(m.pending, after.copy()) // a prefix may be there
	}
	after.clock = m.clock
	return m.try(after, func() error { return l.StoreLogs(logs) })
}

func crashEntry(group uint32, index, term uint64) *raft.Log {
	data := bytes.Repeat(fmt.Appendf(nil, "%d/%d/%d ", group, index, term), 1+int(term*7%150))
	return &raft.Log{Index: index, Term: term, Data: data}
}

// try runs an operation; its outcome is open until it returns without an error.
func (m *model) try(after *model, do func() error) error {
	m.pending = append(m.pending, after)
	if err := do(); err != nil {
		return err
	}
	*m = *after.copy()
	return nil
}

// is says whether the log is exactly this state.
func (m *model) is(l Log) error {
	first, last := uint64(0), uint64(0)
	if len(m.terms) > 0 {
		first, last = m.first, m.last()
	}
	haveFirst, _ := l.FirstIndex()
	haveLast, _ := l.LastIndex()
	if haveFirst != first || haveLast != last || l.Generation() != m.generation {
		return fmt.Errorf("log is %d..%d of generation %d, model %d..%d of %d", haveFirst, haveLast, l.Generation(), first, last, m.generation)
	}
	if first == 0 && l.NextIndex() != m.next {
		return fmt.Errorf("next is %d, model %d", l.NextIndex(), m.next)
	}
	for k, term := range m.terms {
		var got raft.Log
		if err := l.GetLog(first+uint64(k), &got); err != nil {
			return err
		}
		if want := crashEntry(m.group, first+uint64(k), term); got.Term != term || !bytes.Equal(got.Data, want.Data) {
			return fmt.Errorf("entry %d has term %d, model %d", got.Index, got.Term, term)
		}
	}
	return l.Check()
}

// TestCrashKeepsWhatWasAcked (I1, I7 of the log): groups work at once, power goes at any write or sync, any
// part of what was not synced is lost. Afterwards each log is its acked state, or that with the call in
// flight done, wholly or up to some entry; and nothing else.
func TestCrashKeepsWhatWasAcked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		groups := rapid.IntRange(1, 6).Draw(t, "groups")
		rounds := rapid.IntRange(1, 5).Draw(t, "rounds")
		files := newMemFiles()
		models := make([]*model, groups)
		for g := range models {
			models[g] = &model{group: uint32(g)}
		}
		r := rand.New(rand.NewPCG(seed, 1))
		for round := range rounds {
			crashRound(t, files, models, r, round)
		}
	})
}

func crashRound(t *rapid.T, files *memFiles, models []*model, r *rand.Rand, round int) {
	memory := int64(64 << 10) // small, so that reads come from disk
	s, err := OpenShared("mem", SharedOptions{Files: files, SegmentBytes: minSegmentBytes, MemoryBytes: memory, GatherWindow: -1})
	if err != nil {
		t.Fatalf("round %d: open: %v", round, err)
	}
	defer s.Close()
	files.mu.Lock()
	files.budget = r.IntN(400)
	files.mu.Unlock()
	var wg sync.WaitGroup
	for _, m := range models {
		l, err := s.Open(m.group)
		if err != nil {
			t.Fatalf("open log: %v", err)
		}
		if err := settle(m, l); err != nil {
			t.Fatalf("round %d: group %d: %v", round, m.group, err)
		}
		l.SetSnapshotIndex(func() uint64 { return m.snapshot })
		l.SetFloor(func() uint64 { return m.snapshot + 1 })
		own := rand.New(rand.NewPCG(r.Uint64(), 2))
		wg.Go(func() {
			for range 150 {
				m.pending = nil
				if err := m.step(own, l); err != nil {
					if !errors.Is(err, errPower) {
						t.Errorf("group %d: %v", m.group, err)
					}
					return
				}
			}
			m.pending = nil
		})
	}
	wg.Wait()
	s.Close()
	files.crash(r)
}

// settle finds which of the possible states the log is in, and makes it the model's.
func settle(m *model, l Log) error {
	errs := []error{m.is(l)}
	if errs[0] == nil {
		m.pending = nil
		return nil
	}
	for _, p := range m.pending {
		err := p.is(l)
		if err == nil {
			clock := m.clock
			*m = *p.copy()
			m.clock = max(clock, m.clock)
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
