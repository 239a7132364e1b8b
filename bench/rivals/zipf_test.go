package rivals

import (
	"math"
	"math/rand/v2"
	"testing"
)

// zipf draws numbers below n, of which the one of rank r comes with a probability in proportion to 1/r^skew, for a skew below 1: Gray et al.,
// Quickly Generating Billion-Record Synthetic Databases, SIGMOD 1994, as in YCSB. The ranks are scattered over the numbers.
type zipf struct {
	random                  *rand.Rand
	n                       uint64
	skew, zeta, alpha, half float64
	eta                     float64
}

func newZipf(seed, n uint64, skew float64) *zipf {
	zeta := 0.0
	for rank := range n {
		zeta += math.Pow(float64(rank+1), -skew)
	}
	half := math.Pow(0.5, skew)
	return &zipf{
		random: rand.New(rand.NewPCG(seed, 0)), n: n, skew: skew, zeta: zeta, alpha: 1 / (1 - skew), half: half,
		eta: (1 - math.Pow(2/float64(n), 1-skew)) / (1 - (1+half)/zeta),
	}
}

func (z *zipf) next() uint64 { return scatter(z.rank()) % z.n }

// rank returns the rank, from 0, of the next number.
func (z *zipf) rank() uint64 {
	u := z.random.Float64()
	switch at := u * z.zeta; {
	case at < 1:
		return 0
	case at < 1+z.half:
		return 1
	}
	return min(uint64(float64(z.n)*math.Pow(z.eta*u-z.eta+1, z.alpha)), z.n-1)
}

// scatter is the finalizer of SplitMix64.
func scatter(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// TestZipf compares how often the first ranks come with how often they should.
func TestZipf(t *testing.T) {
	const n, draws, skew = 10_000, 1_000_000, 0.99
	z := newZipf(1, n, skew)
	var came [100]float64
	for range draws {
		if rank := z.rank(); rank < uint64(len(came)) {
			came[rank]++
		}
	}
	var got, want float64
	for rank := range came {
		got += came[rank] / draws
		want += math.Pow(float64(rank+1), -skew) / z.zeta
	}
	if math.Abs(got-want) > 0.02 {
		t.Errorf("the first %d of %d come with probability %.3f, want %.3f", len(came), n, got, want)
	}
}
