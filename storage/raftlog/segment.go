package raftlog

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
)

const (
	segmentSuffix = ".wal"
	sparePrefix   = "spare-"
)

// segment is one file of the write-ahead log. Its number and place in memory never change; when it is
// freed its file is closed, so a reader that still holds an old place gets an error and looks again.
type segment struct {
	number uint64
	file   File
	size   int64
	live   atomic.Int64 // entries of open logs in it
	total  atomic.Int64 // records ever written to it
	end    atomic.Int64 // behind the last batch that is known to be durable
	// condemned: a stretch of it cannot be walked any more, so that a start could not tell what it held. What is
	// live in it, and in older ones, is copied forward, and it is freed.
	condemned atomic.Bool
	zeroed    int64 // of a new file: how far it was written; the committer's own. Recycled: size
}

// zeroAhead is how much of a new file is written with zeros at a time, ahead of the batches. A write to blocks that
// are only allocated changes the file's metadata: on ext4 an fdatasync then took 0.21-0.25 ms instead of 0.13 ms.
const zeroAhead = 512 << 10

// prewrite writes zeros behind off, where a batch has just ended, if the file was not written that far yet. They
// become durable with the batch, or not: what was never written reads as zeros too.
func (s *segment) prewrite(off int64) error {
	if off <= s.zeroed || off >= s.size {
		return nil
	}
	n := min(zeroAhead, s.size-off)
	s.zeroed = off + n
	return writeFull(s.file, zeros[:n], off)
}

var zeros [zeroAhead]byte

func segmentName(number uint64) string { return fmt.Sprintf("%016x%s", number, segmentSuffix) }
func spareName(number uint64) string   { return sparePrefix + segmentName(number) }

// parseSegmentName returns the number of a segment's or spare's file name.
func parseSegmentName(name string) (number uint64, spare, ok bool) {
	digits, isWal := strings.CutSuffix(name, segmentSuffix)
	digits, spare = strings.CutPrefix(digits, sparePrefix)
	if !isWal || len(digits) != 16 {
		return 0, false, false
	}
	number, err := strconv.ParseUint(digits, 16, 64)
	return number, spare, err == nil
}

// createSegment makes segment number, out of a spare file if there is one, and makes its header durable,
// so that a header is never torn under batches.
func createSegment(files Files, number uint64, size int64, spare string) (*segment, error) {
	name := segmentName(number)
	if spare != "" {
		if err := files.Rename(spare, name); err != nil {
			return nil, fmt.Errorf("recycle log segment %s: %w", name, err)
		}
	}
	f, have, err := files.Open(name, size)
	if err != nil {
		return nil, fmt.Errorf("create log segment %s: %w", name, err)
	}
	s := &segment{number: number, file: f, size: have}
	if spare != "" {
		s.zeroed = have
	}
	if err := s.writeHeader(); err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

func (s *segment) writeHeader() error {
	if err := writeFull(s.file, appendSegmentHeader(s.number), 0); err != nil {
		return fmt.Errorf("write header of log segment %x: %w", s.number, err)
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("sync header of log segment %x: %w", s.number, err)
	}
	return nil
}

func writeFull(f io.WriterAt, b []byte, off int64) error {
	n, err := f.WriteAt(b, off)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}

// where names a place for the operator.
func (s *segment) where(off int64) string {
	return fmt.Sprintf("%s at %d", segmentName(s.number), off)
}
