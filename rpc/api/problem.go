package api

import (
	"errors"
	"fmt"
	"strings"
)

// Problem is the body of an error: application/problem+json (RFC 9457).
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   Code   `json:"code"`
	Hint   string `json:"hint"`

	Group  *uint32      `json:"group,omitempty"`
	Leader string       `json:"leader,omitempty"`
	Points []PointError `json:"points,omitempty"` // of InvalidPoints, at most MaxPointErrors
	// Stamped gives the times that the node gave to points without one. The
	// caller of an unknown write repeats it with these.
	Stamped []Stamp `json:"stamped,omitempty"`
}

// MaxPointErrors bounds Problem.Points.
const MaxPointErrors = 100

// PointError says why one point of a batch was refused.
type PointError struct {
	Index  int    `json:"index"` // place in the batch, from 0
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// Stamp is the time that the accepting node gave to one point of a batch.
type Stamp struct {
	Index int  `json:"index"`
	Time  Time `json:"time"`
}

// WriteReply is the answer to a write that was committed.
type WriteReply struct {
	Written int     `json:"written"`
	Stamped []Stamp `json:"stamped,omitempty"`
}

// DeleteReply is the answer to a delete that was committed.
type DeleteReply struct {
	Groups int `json:"groups"` // groups in which it was carried out
}

// Error is a failure that users see: a problem document with the Go error
// that caused it. Every error of the gateway is one.
type Error struct {
	Problem
	Cause error
}

// E makes an error with a code, a detail and a hint for the one who reads it.
func E(code Code, hint, format string, args ...any) *Error {
	return &Error{Problem: Problem{
		Type: "urn:flotilla:error:" + strings.ReplaceAll(string(code), "_", "-"), Title: code.Title(),
		Status: code.Status(), Detail: fmt.Sprintf(format, args...), Code: code, Hint: hint,
	}}
}

// Because attaches the Go error behind the problem and adds its text.
func (e *Error) Because(err error) *Error {
	if err != nil {
		e.Cause = err
		if text := err.Error(); text != "" {
			e.Detail += ": " + text
		}
	}
	return e
}

// InGroup names the group in which it happened.
func (e *Error) InGroup(group uint32) *Error { e.Group = &group; return e }

// Error gives code, detail and hint in one line.
func (e *Error) Error() string {
	text := e.Detail
	if e.Group != nil {
		text = fmt.Sprintf("group %d: %s", *e.Group, text)
	}
	if e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	return text
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// AsError turns any error into one that users may see.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return E(Internal, "see the node's log", "%v", err)
}

// CodeOf gives the code of an error, Internal for one without, "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	return AsError(err).Code
}

// Retryable reports whether the request was certainly not carried out and may
// be sent again as it is.
func (c Code) Retryable() bool {
	switch c {
	case Busy, NotApplied, NoLeader, NotReady, Unavailable, ClockOff, Stale:
		return true
	}
	return false
}

// Unknown reports whether the request may have been carried out.
func (c Code) Unknown() bool { return c == OutcomeUnknown || c == PartlyApplied }
