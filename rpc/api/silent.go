package api

// SilentNodesHeader is the HTTP header of a list that nodes contribute to: the
// names of those that did not answer, so that what they know is missing.
const SilentNodesHeader = "Flotilla-Silent-Nodes"
