package raftlog

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"syscall"
)

// maxSpares bounds the freed segment files that are kept for reuse.
const maxSpares = 2

// segments is the list of the log's segment files. The committer appends to it, the reclaimer takes from
// its front, always the oldest and durably before the next: what a truncation deleted is then gone before
// the truncation's own record is. A goroutine prepares the next segment ahead of need.
type segments struct {
	files  Files
	size   int64
	logger *slog.Logger
	rolled func() // called by the committer when a segment is full

	mu     sync.Mutex // guards list and spares
	list   []*segment // oldest first; the last one is written to
	spares []string

	asked  uint64 // the committer's own: the segment asked for
	wanted chan uint64
	ready  chan prepared
	stop   chan struct{}
	done   chan struct{}
}

type prepared struct {
	seg *segment
	err error
}

// prepare makes segments when asked, until stop.
func (s *segments) prepare() {
	defer close(s.done)
	for {
		select {
		case number := <-s.wanted:
			seg, err := createSegment(s.files, number, s.size, s.takeSpare())
			select {
			case s.ready <- prepared{seg, err}:
			case <-s.stop:
				if seg != nil {
					seg.file.Close()
				}
				return
			}
		case <-s.stop:
			return
		}
	}
}

func (s *segments) takeSpare() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.spares)
	if n == 0 {
		return ""
	}
	name := s.spares[n-1]
	s.spares = s.spares[:n-1]
	return name
}

// prepareNext asks for the segment after the current one; it does not wait.
func (s *segments) prepareNext() {
	if next := s.current().number + 1; s.asked != next {
		s.asked = next
		s.wanted <- next // room for one, and there is one caller that asks once
	}
}

// roll makes the next segment the current one.
func (s *segments) roll() (*segment, error) {
	s.prepareNext()
	p := <-s.ready
	if p.err != nil {
		s.asked = 0
		if errors.Is(p.err, syscall.ENOSPC) {
			return nil, fmt.Errorf("%w: %w", ErrNoSpace, p.err)
		}
		return nil, p.err
	}
	s.mu.Lock()
	s.list = append(s.list, p.seg)
	s.mu.Unlock()
	s.rolled()
	return p.seg, nil
}

func (s *segments) current() *segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list[len(s.list)-1]
}

// oldest returns the first segment, false if it is the one written to.
func (s *segments) oldest() (*segment, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list[0], len(s.list) > 1
}

// mostlyDead says whether the log holds more dead records than live ones, in enough segments to matter.
func (s *segments) mostlyDead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var live, total int64
	for _, seg := range s.list {
		live += seg.live.Load()
		total += seg.total.Load()
	}
	return len(s.list) >= 4 && live < total/2
}

// condemned says whether a segment that is not written to any more has to go.
func (s *segments) condemned() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.list[:len(s.list)-1], func(seg *segment) bool { return seg.condemned.Load() })
}

// from returns the first segment whose number is at least this, nil if there is none.
func (s *segments) from(number uint64) *segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range s.list {
		if seg.number >= number {
			return seg
		}
	}
	return nil
}

// holds says whether a segment belongs to the log still.
func (s *segments) holds(seg *segment) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.list, seg)
}

// free takes the oldest segment out of the log, durably, and keeps its file as a spare or removes it.
func (s *segments) free(seg *segment) error {
	s.mu.Lock()
	keep := len(s.spares) < maxSpares && seg.size == s.size && !slices.Contains(s.spares, spareName(seg.number))
	s.list = s.list[1:]
	s.mu.Unlock()
	name := segmentName(seg.number)
	if err := seg.file.Close(); err != nil {
		return fmt.Errorf("close log segment %s: %w", name, err)
	}
	if !keep {
		if err := s.files.Remove(name); err != nil {
			return fmt.Errorf("remove log segment %s: %w", name, err)
		}
		return nil
	}
	if err := s.files.Rename(name, spareName(seg.number)); err != nil {
		return fmt.Errorf("free log segment %s: %w", name, err)
	}
	s.mu.Lock()
	s.spares = append(s.spares, spareName(seg.number))
	s.mu.Unlock()
	return nil
}

// close stops the preparer and closes the files. Nobody writes any more.
func (s *segments) close() error {
	close(s.stop)
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	var first error
	for _, seg := range s.list {
		if err := seg.file.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
