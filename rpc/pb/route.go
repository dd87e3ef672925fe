package pb

// NodeHeader is the header by which a node names itself on a stream of reads,
// in the words of Route.node.
const NodeHeader = "flotilla-node"
