package consent

// BlockSize is how many records are read together at most: enough for their waits for memory to overlap, and few enough for all of them to stay
// in the processor's nearest cache until they are decided.
const BlockSize = 32

// Block is where the records of several subjects are copied when they are read together, so that reading them allocates nothing. It is reusable,
// by one goroutine at a time.
type Block struct {
	Records [BlockSize]Record // valid until the block is used again
	Buffers [BlockSize]Buffer // where those lie that fit
}
