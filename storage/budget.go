package storage

// Budget is the memory that the heads of all shards of a node may take.
type Budget struct{}

// DefaultHeadMemory is a node's budget in bytes unless its settings say otherwise.
const DefaultHeadMemory = 256 << 20

// NewBudget makes a budget of so many bytes.
func NewBudget(bytes int64) *Budget { panic("soon") }

// Used is how many bytes the heads take now.
func (b *Budget) Used() int64 { panic("soon") }
