package antientropy

import (
	"context"
	"sync"
)

// slots let so many at once do something with one key. A key costs nothing while nobody has it.
type slots[K comparable] struct {
	size int

	mu   sync.Mutex
	keys map[K]*slot // guarded by mu
}

type slot struct {
	places chan struct{}
	users  int // who has a place or waits for one
}

func newSlots[K comparable](size int) *slots[K] { return &slots[K]{size: size, keys: map[K]*slot{}} }

// take waits for a place; waits, if not nil, is told once where there is none yet.
func (s *slots[K]) take(ctx context.Context, key K, waits func()) (release func(), err error) {
	s.mu.Lock()
	k := s.keys[key]
	if k == nil {
		k = &slot{places: make(chan struct{}, s.size)}
		s.keys[key] = k
	}
	k.users++
	s.mu.Unlock()
	release = func() { <-k.places; s.leave(key, k) }
	select {
	case k.places <- struct{}{}:
		return release, nil
	default:
		if waits != nil {
			waits()
		}
	}
	select {
	case k.places <- struct{}{}:
		return release, nil
	case <-ctx.Done():
		s.leave(key, k)
		return nil, ctx.Err()
	}
}

func (s *slots[K]) leave(key K, k *slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.users--; k.users == 0 {
		delete(s.keys, key)
	}
}
