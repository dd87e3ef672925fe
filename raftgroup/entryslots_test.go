package raftgroup

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestEntriesWaitForASlotInOrderButNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slots := make(entrySlots, 1)
		release := slots.acquire()
		got := make(chan time.Duration, 1)
		began := time.Now()
		go func() {
			defer slots.acquire()()
			got <- time.Since(began)
		}()
		time.Sleep(slotPatience / 2)
		release()
		if waited := <-got; waited != slotPatience/2 {
			t.Fatalf("the next entry waited %v for a slot that was free after %v", waited, slotPatience/2)
		}
		synctest.Wait()
		defer slots.acquire()() // a group that cannot commit keeps its slot
		began = time.Now()
		slots.acquire()()
		if waited := time.Since(began); waited != slotPatience {
			t.Fatalf("an entry waited %v behind one that does not end, want %v", waited, slotPatience)
		}
		if len(slots) != 1 {
			t.Fatalf("%d slots taken, want the one that is kept", len(slots))
		}
	})
}
