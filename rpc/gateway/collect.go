package gateway

import (
	"slices"
	"strings"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// sortedBytes is how much of an answer is held back: an answer that fits is
// sorted (by the query's ids, else by id) and an error within it reaches the
// client as one. What is larger streams in the order of groups.
const sortedBytes = 4 << 20

// collector passes rows on to their taker.
type collector struct {
	q         *Query
	rows      Rows
	room      func(bytes int) bool // not nil: the answer must be whole, see QueryWhole
	held      []heldRows
	bytes     int
	streaming bool // rows have gone out: nothing can be taken back
}

type heldRows struct {
	device string
	c      *blocks.Columns
}

func (k *collector) add(device string, c *blocks.Columns) error {
	if c.Len() == 0 {
		return nil
	}
	if k.streaming {
		return k.rows(device, c)
	}
	bytes := rowBytes(c)
	if k.bytes += bytes; k.room != nil && (k.bytes > WholeAnswerBytes || !k.room(bytes)) {
		return ErrAnswerTooLarge
	}
	k.held = append(k.held, heldRows{device, c})
	if k.bytes < sortedBytes {
		return nil
	}
	return k.release()
}

// drop forgets rows that were not handed on: those of an answer that must be
// whole are not before its end.
func (k *collector) drop() { k.held, k.bytes = nil, 0 }

func (k *collector) release() error {
	k.streaming = true
	for _, h := range k.held {
		if err := k.rows(h.device, h.c); err != nil {
			return err
		}
	}
	k.held = nil
	return nil
}

// finish gives out what was held back, sorted.
func (k *collector) finish() error {
	if k.streaming {
		return nil
	}
	if len(k.held) < 2 || len(k.q.Devices) == 1 { // in order as they are
		return k.release()
	}
	place := make(map[string]int, len(k.q.Devices))
	for i, device := range k.q.Devices {
		place[device] = i
	}
	slices.SortStableFunc(k.held, func(a, b heldRows) int {
		if d := place[a.device] - place[b.device]; d != 0 {
			return d
		}
		return strings.Compare(a.device, b.device)
	})
	return k.release()
}
