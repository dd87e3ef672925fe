package lineproto

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// scanner walks a JSON text without building a tree. It is strict: what it
// accepts is JSON (RFC 8259) in UTF-8.
type scanner struct {
	b     []byte
	i     int
	names interner
}

var errJSONEnd = errors.New("JSON ends too early")

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// peek gives the next byte that is no white space, 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.i == len(s.b) {
		return 0
	}
	return s.b[s.i]
}

// take consumes c if it comes next.
func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.i++
	return true
}

func (s *scanner) want(c byte) error {
	if s.take(c) {
		return nil
	}
	return s.unexpected("want " + strconv.QuoteRune(rune(c)))
}

func (s *scanner) unexpected(hint string) error {
	if s.peek() == 0 && s.i == len(s.b) {
		return fmt.Errorf("%w: %s", errJSONEnd, hint)
	}
	r, _ := utf8.DecodeRune(s.b[s.i:])
	return fmt.Errorf("byte %d: unexpected %q: %s", s.i+1, r, hint)
}

// text reads a string. Without escapes the bytes alias the input.
func (s *scanner) text() ([]byte, error) {
	if err := s.want('"'); err != nil {
		return nil, err
	}
	begin := s.i
	for s.i < len(s.b) {
		switch c := s.b[s.i]; {
		case c == '"':
			raw := s.b[begin:s.i]
			s.i++
			if !utf8.Valid(raw) {
				return nil, fmt.Errorf("byte %d: %w", begin, errNotUTF8)
			}
			return raw, nil
		case c == '\\':
			return s.escaped(begin)
		case c < ' ':
			return nil, fmt.Errorf("byte %d: a control character in a string", s.i+1)
		}
		s.i++
	}
	return nil, errJSONEnd
}

// escaped reads the rest of a string that has escapes.
func (s *scanner) escaped(begin int) ([]byte, error) {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case '\\':
			s.i++
		case '"':
			var out string
			quoted := s.b[begin-1 : s.i+1]
			s.i++
			if err := ExactJSON(quoted); err != nil {
				return nil, fmt.Errorf("byte %d: %w", begin, err)
			}
			if err := json.Unmarshal(quoted, &out); err != nil {
				return nil, fmt.Errorf("byte %d: bad escape in a string", begin)
			}
			return []byte(out), nil
		}
		s.i++
	}
	return nil, errJSONEnd
}

var (
	errNotUTF8       = errors.New("the string is not UTF-8")
	errLoneSurrogate = errors.New(`the string is no Unicode: half a surrogate pair (\ud800 to \udfff) stands alone`)
)

// ExactJSON refuses a JSON text whose strings have no exact UTF-8 form:
// encoding/json reads them with U+FFFD in the place of what it cannot read, and
// says nothing.
func ExactJSON(text []byte) error {
	if !utf8.Valid(text) {
		return errNotUTF8
	}
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		i++ // what is escaped
		switch high, ok := escapedUnit(text[i:]); {
		case !ok || !utf16.IsSurrogate(high):
		case i+5 < len(text) && text[i+5] == '\\':
			low, _ := escapedUnit(text[i+6:])
			if utf16.DecodeRune(high, low) == utf8.RuneError {
				return errLoneSurrogate
			}
			i += 6
		default:
			return errLoneSurrogate
		}
	}
	return nil
}

// escapedUnit reads uXXXX, what stands behind a backslash.
func escapedUnit(b []byte) (rune, bool) {
	if len(b) < 5 || b[0] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(b[1:5]), 16, 16)
	return rune(n), err == nil
}

// number reads the text of a number.
func (s *scanner) number() ([]byte, error) {
	s.space()
	begin := s.i
	s.take1('-')
	switch {
	case s.take1('0'):
	case s.digits() == 0:
		return nil, s.unexpected("want a number")
	}
	if s.take1('.') && s.digits() == 0 {
		return nil, s.unexpected("want a digit")
	}
	if s.take1('e') || s.take1('E') {
		if !s.take1('+') {
			s.take1('-')
		}
		if s.digits() == 0 {
			return nil, s.unexpected("want a digit")
		}
	}
	return s.b[begin:s.i], nil
}

func (s *scanner) take1(c byte) bool {
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

func (s *scanner) digits() int {
	begin := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i - begin
}

// word consumes a literal.
func (s *scanner) word(w string) bool {
	s.space()
	if len(s.b)-s.i >= len(w) && string(s.b[s.i:s.i+len(w)]) == w {
		s.i += len(w)
		return true
	}
	return false
}

// value reads the value of a field: a number is a float64, {"i":14} an int64,
// {"u":14} a uint64. null gives no value.
func (s *scanner) value() (v blocks.Value, present bool, err error) {
	switch c := s.peek(); {
	case c == '"':
		b, err := s.text()
		return blocks.Text(string(b)), true, err
	case c == '{':
		v, err := s.integer()
		return v, true, err
	case c == '-' || c >= '0' && c <= '9':
		b, err := s.number()
		if err != nil {
			return v, false, err
		}
		f, err := strconv.ParseFloat(string(b), 64)
		if err != nil || math.IsInf(f, 0) {
			return v, false, fmt.Errorf("number %s is beyond a float64", b)
		}
		return blocks.Float(f), true, nil
	case s.word("true"):
		return blocks.Boolean(true), true, nil
	case s.word("false"):
		return blocks.Boolean(false), true, nil
	case s.word("null"):
		return v, false, nil
	}
	return v, false, s.unexpected(`want a number, a string, true, false, null, {"i":14} or {"u":14}`)
}

// integer reads {"i":14} or {"u":14}.
func (s *scanner) integer() (v blocks.Value, err error) {
	if err := s.want('{'); err != nil {
		return v, err
	}
	kind, err := s.text()
	if err != nil {
		return v, err
	}
	signed := string(kind) == "i"
	if !signed && string(kind) != "u" {
		return v, fmt.Errorf(`an object as a value is {"i":14} (int64) or {"u":14} (uint64), not {%q: ...}`, kind)
	}
	if err := s.want(':'); err != nil {
		return v, err
	}
	b, err := s.number()
	if err != nil {
		return v, err
	}
	if signed {
		n, err := strconv.ParseInt(string(b), 10, 64)
		if err != nil {
			return v, fmt.Errorf("%s is no int64", b)
		}
		v = blocks.Int(n)
	} else {
		n, err := strconv.ParseUint(string(b), 10, 64)
		if err != nil {
			return v, fmt.Errorf("%s is no uint64", b)
		}
		v = blocks.Uint(n)
	}
	return v, s.want('}')
}
