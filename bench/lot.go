package bench

import "math"

// lot says whom the i-th request is about: the same each time, for a seed, whoever makes it.
type lot struct {
	n, seed uint64
	zipf    *zipf // nil: evenly
}

func newLot(o *Options) lot {
	d := lot{n: uint64(o.Subjects), seed: scatter(o.Seed + 1)} //nolint:gosec // validated
	if o.Skew > 0 {
		d.zipf = newZipf(d.n, o.Skew)
	}
	return d
}

// at returns the number of the subject.
func (d lot) at(i uint64) uint64 {
	random := scatter(i*0x9E3779B97F4A7C15 + d.seed)
	if d.zipf == nil {
		return random % d.n
	}
	return scatter(d.zipf.rank(float64(random>>11)/(1<<53))) % d.n // ranks are scattered over the subjects
}

// zipf turns what is evenly spread into ranks below n, of which rank r comes with a probability in proportion to 1/(r+1)^skew, for a skew below
// 1: Gray et al., Quickly Generating Billion-Record Synthetic Databases, SIGMOD 1994, as in YCSB.
type zipf struct {
	n, zeta, half, alpha, eta float64
}

func newZipf(n uint64, skew float64) *zipf {
	zeta := 0.0
	for rank := range n {
		zeta += math.Pow(float64(rank+1), -skew)
	}
	half := math.Pow(0.5, skew)
	return &zipf{
		n: float64(n), zeta: zeta, half: half, alpha: 1 / (1 - skew),
		eta: (1 - math.Pow(2/float64(n), 1-skew)) / (1 - (1+half)/zeta),
	}
}

// rank returns the rank, from 0, for a number from 0 to below 1.
func (z *zipf) rank(u float64) uint64 {
	switch at := u * z.zeta; {
	case at < 1:
		return 0
	case at < 1+z.half:
		return min(1, uint64(z.n)-1)
	}
	return uint64(min(z.n*math.Pow(z.eta*u-z.eta+1, z.alpha), z.n-1))
}
