// Package wire writes and reads the messages of checks without building them: a Question is a CheckRequest of the contract, a Reply a
// CheckResponse, Questions and Answers are the messages of StreamCheck, and BatchQuestions and BatchReply those of BatchCheck. Each takes a
// fifth of the generated code's time, or less, and allocates next to nothing.
//
// What is written is what the generated code writes, up to the order of bytes that mean the same. What is read is what the generated code would
// read: whatever isn't in the plain form, of fields that are known, each once, is given to the generated code itself, which also says what is
// wrong with what can't be read. Both are held by tests that compare them.
package wire
