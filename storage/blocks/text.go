package blocks

import "encoding/binary"

// dictionary numbers the distinct texts of a column in order of first appearance.
type dictionary struct {
	number  map[string]uint64
	entries []string
}

func (d *dictionary) reset() {
	if d.number == nil {
		d.number = make(map[string]uint64)
	}
	clear(d.number)
	clear(d.entries) // a pooled encoder must not hold on to texts
	d.entries = d.entries[:0]
}

// index is the number of s. previous is the number of the text before: texts repeat.
func (d *dictionary) index(s string, previous uint64) uint64 {
	if previous < uint64(len(d.entries)) && d.entries[previous] == s {
		return previous
	}
	if n, ok := d.number[s]; ok {
		return n
	}
	n := uint64(len(d.entries))
	d.number[s] = n
	d.entries = append(d.entries, s)
	return n
}

func (d *dictionary) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(d.entries)))
	for _, s := range d.entries {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
	}
	for _, s := range d.entries {
		dst = append(dst, s...)
	}
	return dst
}

// readTexts appends to entries, empty, the dictionary at the head of b, of at most limit entries. One allocation holds
// all texts.
func readTexts(b []byte, entries []string, limit int) ([]string, []byte, bool) {
	count, b, ok := readUvarint(b)
	if !ok || count == 0 || count > uint64(limit) || count > uint64(len(b)) {
		return entries, nil, false
	}
	lengths, total := b, uint64(0)
	for range count {
		n, rest, ok := readUvarint(b)
		if !ok || n > uint64(len(rest)) {
			return entries, nil, false
		}
		total += n // at most MaxRows times the length of b: no overflow
		b = rest
	}
	if total > uint64(len(b)) {
		return entries, nil, false
	}
	texts := string(b[:total])
	for range count {
		n, rest, _ := readUvarint(lengths)
		entries = append(entries, texts[:n])
		texts, lengths = texts[n:], rest
	}
	return entries, b[total:], true
}
