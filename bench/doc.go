// Package bench measures a running consentd as its callers see it, and says how sure it is.
//
// Run puts a load of one Scenario on a server for a while and returns a Report. The load is an open loop unless Options say otherwise: each
// request is due at a time of a schedule that was made before, and its latency counts from then, whether or not it could be sent then. So a
// server that stalls is charged for all who would have come meanwhile. What was sent late, or not at all, is counted, and a run that came to
// less than 99 % of the rate says so. In a closed loop each caller asks again when it has its answer: that finds how much a server can do, and
// hides how long anybody waits.
//
// Answers are compared with what the data set says they are. A fast wrong answer fails the run.
//
// A Report is written as a table, JSON, CSV, Go benchmark lines, a percentile distribution, or a page of HTML; Compare finds what got worse.
package bench
