// Package chaos breaks clusters and judges what they said meanwhile. It holds what its own tests, which run real processes, share with
// those of package cluster, which run replicas in one process: a load that writes down every call, a plan of faults that a seed repeats,
// the links of a network that can be cut and slowed in each direction, and judges that look at the history afterwards.
//
// Nothing of it is part of the program.
package chaos
