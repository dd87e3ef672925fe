package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// stages are what has been started, to be stopped in reverse order.
type stages struct {
	log *slog.Logger

	mu    sync.Mutex
	stops []stage // guarded by mu
}

type stage struct {
	name string
	stop func(context.Context) error
}

// add notes how to stop what was just started.
func (s *stages) add(name string, stop func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stops = append(s.stops, stage{name, stop})
}

// loop runs a function that ends with its context, as a stage of its own.
func (s *stages) loop(name string, run func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(ctx)
	}()
	s.add(name, func(context.Context) error {
		cancel()
		<-done
		return nil
	})
}

// close stops everything, the last one first; ctx bounds those that wait for
// others. It may be called again.
func (s *stages) close(ctx context.Context) error {
	var errs []error
	for {
		s.mu.Lock()
		n := len(s.stops)
		if n == 0 {
			s.mu.Unlock()
			return errors.Join(errs...)
		}
		last := s.stops[n-1]
		s.stops = s.stops[:n-1]
		s.mu.Unlock()
		began := time.Now()
		if err := last.stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", last.name, err))
		}
		s.log.Debug("stopped", "part", last.name, "took", time.Since(began))
	}
}
