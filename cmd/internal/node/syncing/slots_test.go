package syncing

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
)

func TestSlotsAreGivenToTheMostUrgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(func() int { return 1 })
		first, err := s.acquire(t.Context(), urgency{group: 99, spare: 5})
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []uint32
		var wg sync.WaitGroup
		for _, u := range []urgency{
			{group: 1, spare: 1}, {group: 2, spare: 1}, {group: 3, spare: 0}, {group: 4, spare: -1}, {group: 5, spare: 1, resumed: true}, {group: 6, spare: 2},
		} {
			wg.Go(func() {
				release, err := s.acquire(t.Context(), u)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, u.group)
				mu.Unlock()
				release()
			})
			synctest.Wait()
		}
		if by := s.busy(); by == "" {
			t.Error("who waits is not told for what")
		}
		first()
		wg.Wait()
		want := []uint32{4, 3, 5, 1, 2, 6}
		for i := range want {
			if len(order) != len(want) || order[i] != want[i] {
				t.Fatalf("order %v, want %v", order, want)
			}
		}
		if by := s.busy(); by != "" {
			t.Error(by)
		}
	})
}

func TestSlotsFollowTheirLimitAndForgetWhoGaveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := 2
		s := newSlots(func() int { return limit })
		var releases []func()
		for group := range uint32(2) {
			release, err := s.acquire(t.Context(), urgency{group: group})
			if err != nil {
				t.Fatal(err)
			}
			releases = append(releases, release)
		}
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error, 1)
		go func() {
			_, err := s.acquire(ctx, urgency{group: 7})
			gaveUp <- err
		}()
		got := make(chan func(), 1)
		go func() {
			release, _ := s.acquire(t.Context(), urgency{group: 8})
			got <- release
		}()
		synctest.Wait()
		cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		limit = 3
		s.settle()
		release := <-got
		release()
		release() // once is enough
		for _, r := range releases {
			r()
		}
		if copying, waiting := len(s.taken), len(s.waiting); copying != 0 || waiting != 0 {
			t.Errorf("%d copy, %d wait", copying, waiting)
		}
	})
}
