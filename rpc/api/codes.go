package api

// Code names a kind of failure. Codes are part of the contract: a client may
// branch on them; titles, details and hints are for people.
type Code string

// The documented codes.
const (
	InvalidArgument    Code = "invalid_argument"     // a parameter, header or body is wrong
	InvalidPoints      Code = "invalid_points"       // points of a batch are wrong: nothing was written
	NotNumeric         Code = "not_numeric"          // an aggregate over values that are no numbers
	ResultTooLarge     Code = "result_too_large"     // the answer does not fit this format: stream it
	NotFound           Code = "not_found"            // no such route
	DatabaseNotFound   Code = "database_not_found"   // no such database
	CollectionNotFound Code = "collection_not_found" // no point in such a collection
	GroupNotFound      Code = "group_not_found"      // no such group, or it was never written
	NodeNotFound       Code = "node_not_found"       // no such node
	JobNotFound        Code = "job_not_found"        // no such job, or it is forgotten
	MethodNotAllowed   Code = "method_not_allowed"   // the route exists, the method does not
	AlreadyExists      Code = "already_exists"       // exists with other settings
	Conflict           Code = "conflict"             // the state does not allow it now
	TooLarge           Code = "too_large"            // the body is over the limit
	UnsupportedMedia   Code = "unsupported_media"    // the content type or encoding is not known
	NotAcceptable      Code = "not_acceptable"       // no such answer format
	Busy               Code = "busy"                 // queues are full: not applied, retry later
	NotApplied         Code = "not_applied"          // certainly not applied, retry
	NoLeader           Code = "no_leader"            // certainly not applied: no leader in time
	OutcomeUnknown     Code = "outcome_unknown"      // may have been applied or may be yet
	PartlyApplied      Code = "partly_applied"       // some groups of the batch applied it, others did not
	NoSpace            Code = "no_space"             // the disk reserve is reached: not applied
	Unavailable        Code = "unavailable"          // a read could not reach a group
	NotReady           Code = "not_ready"            // the node is not ready
	Stale              Code = "too_stale"            // no replica within max_staleness
	Cancelled          Code = "cancelled"            // the caller went away
	ClockOff           Code = "clock_off"            // the node's clock is off: it stamps no points
	Internal           Code = "internal"             // a defect, or a failing disk
	Unimplemented      Code = "unimplemented"        // not in this version
	IncompatiblePeer   Code = "incompatible_peer"    // a peer speaks another version
	ConfirmationNeeded Code = "confirmation_needed"  // a destructive call without its selector
)

// class is what one code means on the wire.
type class struct {
	status int
	title  string
}

var classes = map[Code]class{
	InvalidArgument:    {400, "Invalid argument"},
	InvalidPoints:      {400, "Invalid points, nothing was written"},
	NotNumeric:         {422, "Aggregate over values that are not numbers"},
	ResultTooLarge:     {422, "Result too large for this format"},
	NotFound:           {404, "No such route"},
	DatabaseNotFound:   {404, "No such database"},
	CollectionNotFound: {404, "No such collection"},
	GroupNotFound:      {404, "No such group"},
	NodeNotFound:       {404, "No such node"},
	JobNotFound:        {404, "No such job"},
	MethodNotAllowed:   {405, "Method not allowed"},
	AlreadyExists:      {409, "Exists with other settings"},
	Conflict:           {409, "Not possible in this state"},
	TooLarge:           {413, "Too large"},
	UnsupportedMedia:   {415, "Unsupported media type or encoding"},
	NotAcceptable:      {406, "No such answer format"},
	Busy:               {429, "Busy, not applied"},
	NotApplied:         {503, "Not applied"},
	NoLeader:           {503, "No leader, not applied"},
	OutcomeUnknown:     {504, "Outcome unknown"},
	PartlyApplied:      {504, "Applied in part"},
	NoSpace:            {507, "No space, not applied"},
	Unavailable:        {503, "Unavailable"},
	NotReady:           {503, "Not ready"},
	Stale:              {503, "No replica is fresh enough"},
	Cancelled:          {499, "Cancelled by the caller"},
	ClockOff:           {503, "Clock is off, not applied"},
	Internal:           {500, "Internal error"},
	Unimplemented:      {501, "Not in this version"},
	IncompatiblePeer:   {503, "Peer of another version"},
	ConfirmationNeeded: {400, "Confirmation needed"},
}

// Status gives the HTTP status of a code, 500 for one that is not documented.
func (c Code) Status() int {
	if k, ok := classes[c]; ok {
		return k.status
	}
	return 500
}

// Title gives the short title of a code.
func (c Code) Title() string { return classes[c].title }

// Codes lists every documented code.
func Codes() []Code {
	out := make([]Code, 0, len(classes))
	for c := range classes {
		out = append(out, c)
	}
	return out
}
