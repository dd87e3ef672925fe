package raftgroup

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A frame of term questions and its answer. Numbers are unsigned varints.
//
//	question: version (1 B) | count | count x ( group | generation | lineage length | lineage )
//	answer:   version (1 B) | count | count x ( 0: not here, else 1 + the current term )
//
// The answers are in the order of the questions.
const (
	termFrameVersion = 1
	// maxTermQuestions bounds one frame; a lane that has more sends the rest in
	// the next one.
	maxTermQuestions = 4096
	maxLineageBytes  = 64
)

var errTermFrame = errors.New("malformed term frame")

// termQuestion asks a node for the current term of one of its servers, by the
// generation and lineage under which the asker knows it: a node never answers
// for another one.
type termQuestion struct {
	group      uint32
	generation uint32
	lineage    string
}

// termAnswer is the term, if the server is here.
type termAnswer struct {
	here bool
	term uint64
}

func appendTermQuestions(dst []byte, questions []termQuestion) []byte {
	dst = append(dst, termFrameVersion)
	dst = binary.AppendUvarint(dst, uint64(len(questions)))
	for _, q := range questions {
		dst = binary.AppendUvarint(dst, uint64(q.group))
		dst = binary.AppendUvarint(dst, uint64(q.generation))
		dst = binary.AppendUvarint(dst, uint64(len(q.lineage)))
		dst = append(dst, q.lineage...)
	}
	return dst
}

func decodeTermQuestions(b []byte) ([]termQuestion, error) {
	r := frameReader{rest: b}
	count := r.header()
	if r.failed || count > maxTermQuestions {
		return nil, fmt.Errorf("term questions: %w", errTermFrame)
	}
	questions := make([]termQuestion, 0, min(count, uint64(len(b))))
	for range count {
		q := termQuestion{group: r.uint32(), generation: r.uint32(), lineage: r.text(maxLineageBytes)}
		if r.failed {
			return nil, fmt.Errorf("term questions: %w", errTermFrame)
		}
		questions = append(questions, q)
	}
	if len(r.rest) > 0 {
		return nil, fmt.Errorf("term questions: %d bytes behind the end: %w", len(r.rest), errTermFrame)
	}
	return questions, nil
}

func appendTermAnswers(dst []byte, answers []termAnswer) []byte {
	dst = append(dst, termFrameVersion)
	dst = binary.AppendUvarint(dst, uint64(len(answers)))
	for _, a := range answers {
		if a.here {
			dst = binary.AppendUvarint(dst, a.term+1)
		} else {
			dst = append(dst, 0)
		}
	}
	return dst
}

func decodeTermAnswers(b []byte, want int) ([]termAnswer, error) {
	r := frameReader{rest: b}
	count := r.header()
	if r.failed || count != uint64(want) {
		return nil, fmt.Errorf("term answers: %w", errTermFrame)
	}
	answers := make([]termAnswer, want)
	for i := range answers {
		if v := r.uvarint(); v > 0 {
			answers[i] = termAnswer{here: true, term: v - 1}
		}
	}
	if r.failed || len(r.rest) > 0 {
		return nil, fmt.Errorf("term answers: %w", errTermFrame)
	}
	return answers, nil
}

// frameReader reads a frame; after the first mistake it returns zeros.
type frameReader struct {
	rest   []byte
	failed bool
}

func (r *frameReader) header() uint64 {
	if len(r.rest) == 0 || r.rest[0] != termFrameVersion {
		r.failed = true
		return 0
	}
	r.rest = r.rest[1:]
	return r.uvarint()
}

func (r *frameReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.failed, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *frameReader) uint32() uint32 {
	v := r.uvarint()
	if v > 1<<32-1 {
		r.failed = true
	}
	return uint32(v)
}

func (r *frameReader) text(limit int) string {
	n := r.uvarint()
	if n > uint64(limit) || n > uint64(len(r.rest)) {
		r.failed, r.rest = true, nil
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}

func (r *frameReader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.failed, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// take gives the next n bytes, nil when there are fewer.
func (r *frameReader) take(n int) []byte {
	if n > len(r.rest) {
		r.failed, r.rest = true, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *frameReader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}
