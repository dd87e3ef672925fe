package storage

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// scrubCursor begins every cursor; the key of the next leaf follows, in hex.
const scrubCursor = "leaf:"

// Scrub is Inspect in steps over the live shard: each reads about maxBytes (one leaf at least) under a short read
// transaction of its own, so that it holds up no page of the file for long. cursor "" begins; next is the cursor of the
// following step, "" when the whole file was read. A cursor outlives the process; one that cannot be read begins anew.
// The Inspection is of this step alone. Every step looks at what holds the file together (metas, freelist, list of buckets,
// identity), the first also at the series index.
func (s *Shard) Scrub(ctx context.Context, cursor string, maxBytes int64) (next string, r Inspection, err error) {
	from, err := hex.DecodeString(strings.TrimPrefix(cursor, scrubCursor))
	if err != nil || len(from) != leafKeyBytes || !strings.HasPrefix(cursor, scrubCursor) {
		from = nil
	}
	s.mu.RLock()
	if s.err != nil {
		defer s.mu.RUnlock()
		return "", r, s.err
	}
	s.mu.RUnlock()
	tx, meta, err := s.file.beginKnown()
	if err != nil {
		return "", r, fmt.Errorf("scrub: %w", err)
	}
	defer s.file.end(tx)
	step, end := s.o.Turns.begin(ctx, func() error {
		if s.isClosing() {
			return ErrClosed
		}
		return ctx.Err()
	})
	defer end()
	p, err := s.startPass(s.file, meta, nil, step)
	if err != nil {
		return "", r, fmt.Errorf("scrub: %w", err)
	}
	defer p.close()
	to, err := p.step(from, maxBytes)
	if r, err = p.finish(err); err != nil {
		return "", r, fmt.Errorf("scrub: %w", err)
	}
	if to != nil && r.Structure == nil {
		next = scrubCursor + hex.EncodeToString(to)
	}
	return next, r, nil
}

// step reads the leaves from a key on; to is the key of the first that was not read, nil when there is none.
func (p *pass) step(from []byte, maxBytes int64) (to []byte, err error) {
	if err := p.frame(); err != nil {
		return nil, err
	}
	if _, err := p.names(); err != nil {
		return nil, err
	}
	if from == nil {
		if _, err := p.readSeries(); err != nil {
			return nil, err
		}
	}
	if err := p.readRecords(from); err != nil {
		return nil, err
	}
	_, err = p.readBlocks(from, func(key []byte) bool {
		if p.disk.bytes.Load() < maxBytes || len(p.blocks.seen) == 0 {
			return false
		}
		to = bytes.Clone(key[:leafKeyBytes])
		return true
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	p.gone(to)
	return to, nil
}
