package lineproto

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// errTooLong refuses one line; the rest of it is skipped.
var errTooLong = fmt.Errorf("longer than %d MiB", MaxLineBytes>>20)

// lines splits a text into lines without their ends, and takes lines back.
type lines struct {
	r    *bufio.Reader
	no   int64    // number of the line that next gave last
	back [][]byte // taken back, to be given again in order
	long []byte   // memory for a line longer than the buffer of r
	err  error    // sticky
}

func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReaderSize(r, 64<<10)} }

// next gives the next line, valid until the call after it. errTooLong means
// that this line was skipped.
func (l *lines) next() ([]byte, error) {
	if len(l.back) > 0 {
		line := l.back[0]
		l.back = l.back[1:]
		l.no++
		return line, nil
	}
	if l.err != nil {
		return nil, l.err
	}
	line, err := l.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		line, err = l.readLong(line)
	}
	if err != nil && !errors.Is(err, errTooLong) {
		l.err = err
		if len(line) == 0 {
			return nil, err
		}
		err = nil // the last line has no end
	}
	if l.no++; l.no == 1 {
		line = bytes.TrimPrefix(line, byteOrderMark)
	}
	return trimEnd(line), err
}

// byteOrderMark is what some editors put in front of a text in UTF-8.
var byteOrderMark = []byte("\xef\xbb\xbf")

func (l *lines) readLong(begin []byte) ([]byte, error) {
	l.long = append(l.long[:0], begin...)
	for {
		more, err := l.r.ReadSlice('\n')
		if len(l.long) <= MaxLineBytes {
			l.long = append(l.long, more...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case len(l.long) > MaxLineBytes:
			if err != nil {
				l.err = err
			}
			return nil, errTooLong
		}
		return l.long, err
	}
}

// unread gives lines back that were read last, in their order.
func (l *lines) unread(ahead [][]byte) {
	l.no -= int64(len(ahead))
	l.back = append(ahead, l.back...)
}

func trimEnd(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r"))
}

// Bounds of what a reader remembers to share memory between points.
const (
	maxInterned    = 8192
	fieldsPerSlab  = 1024
	maxInternBytes = 256
)

// interner gives one string for equal bytes, so that names that repeat on
// every line are held once. Full, it starts over.
type interner map[string]string

func (in interner) of(b []byte) string {
	if s, ok := in[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(b) > maxInternBytes {
		return s
	}
	if len(in) >= maxInterned {
		clear(in)
	}
	in[s] = s
	return s
}
