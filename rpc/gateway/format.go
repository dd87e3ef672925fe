package gateway

import (
	"encoding/binary"
	"errors"
)

// Layout of the payloads of MethodWrite. All integers are uvarints.
//
//	request: version | count | count x (group | length | frames)
//	reply:   version | count | count x (outcome, 1 byte | length | leader | length | text)
//
// Frames are what the log stores; they pass through untouched. The outcomes
// of a reply are in the order of the request. leader is a node's name, set
// with notLeader; text says why, and is empty for applied.
const (
	payloadVersion = 1
	// maxParts bounds the parts of one request: a batch has at most one a
	// group and round.
	maxParts = 65535
	// maxOutcomeText bounds the text of one outcome, in bytes.
	maxOutcomeText = 256
)

// errPayload: a peer sent what this version cannot read. Nothing was proposed.
var errPayload = errors.New("malformed payload")

func appendParts(dst []byte, parts []*part) []byte {
	dst = append(dst, payloadVersion)
	dst = binary.AppendUvarint(dst, uint64(len(parts)))
	for _, p := range parts {
		dst = binary.AppendUvarint(dst, uint64(p.group))
		dst = binary.AppendUvarint(dst, uint64(len(p.frames)))
		dst = append(dst, p.frames...)
	}
	return dst
}

// partsSize is an upper bound of what appendParts appends.
func partsSize(parts []*part) int {
	n := 1 + binary.MaxVarintLen32
	for _, p := range parts {
		n += 2*binary.MaxVarintLen32 + len(p.frames)
	}
	return n
}

// readParts yields the parts of a request; frames alias the payload.
func readParts(b []byte, yield func(group uint32, frames []byte)) error {
	n, b, err := header(b)
	if err != nil {
		return err
	}
	for range n {
		group, w := binary.Uvarint(b)
		if w <= 0 || group > 1<<32-1 {
			return errPayload
		}
		var frames []byte
		if frames, b, err = cutBytes(b[w:]); err != nil {
			return err
		}
		if len(frames) == 0 {
			return errPayload
		}
		yield(uint32(group), frames)
	}
	if len(b) != 0 {
		return errPayload
	}
	return nil
}

func appendOutcomes(dst []byte, parts []*part) []byte {
	dst = append(dst, payloadVersion)
	dst = binary.AppendUvarint(dst, uint64(len(parts)))
	for _, p := range parts {
		dst = append(dst, byte(p.outcome))
		dst = appendText(dst, p.leader)
		text := ""
		if p.err != nil {
			text = p.err.Error()
		}
		dst = appendText(dst, text)
	}
	return dst
}

func appendText(dst []byte, s string) []byte {
	s = s[:min(len(s), maxOutcomeText)]
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// readOutcomes yields the outcomes of a reply that must hold n of them.
func readOutcomes(b []byte, n int, yield func(i int, o outcome, leader, text string)) error {
	count, b, err := header(b)
	if err != nil || count != n {
		return errPayload
	}
	for i := range n {
		if len(b) == 0 || b[0] == byte(pending) || b[0] >= byte(outcomeEnd) {
			return errPayload
		}
		o := outcome(b[0])
		var leader, text []byte
		if leader, b, err = cutBytes(b[1:]); err != nil {
			return err
		}
		if text, b, err = cutBytes(b); err != nil {
			return err
		}
		yield(i, o, string(leader), string(text))
	}
	if len(b) != 0 {
		return errPayload
	}
	return nil
}

func header(b []byte) (count int, rest []byte, err error) {
	if len(b) == 0 || b[0] != payloadVersion {
		return 0, nil, errPayload
	}
	n, w := binary.Uvarint(b[1:])
	if w <= 0 || n > maxParts {
		return 0, nil, errPayload
	}
	return int(n), b[1+w:], nil
}

func cutBytes(b []byte) (head, rest []byte, err error) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, nil, errPayload
	}
	return b[w : w+int(n)], b[w+int(n):], nil
}
