package server

import (
	"encoding/base64"
	"encoding/binary"

	"github.com/consentd/consentd/consent"
)

// The first byte of a page token says what it pages through, so that none is taken for another's.
const (
	historyPages byte = 1
	policyPages  byte = 2
)

func pageSize(asked int32) (int, error) {
	switch {
	case asked == 0:
		return defaultPage, nil
	case asked < 0 || asked > maxPage:
		return 0, invalid("page_size", "%d: ask for 1 to %d, or 0 for %d", asked, maxPage, defaultPage)
	}
	return int(asked), nil
}

// historyToken names the last event of a page.
func historyToken(last consent.RecordedEvent) string {
	raw := []byte{historyPages}
	raw = binary.BigEndian.AppendUint64(raw, uint64(last.Event.OccurredAt))
	raw = binary.BigEndian.AppendUint64(raw, last.Index)
	raw = binary.BigEndian.AppendUint32(raw, last.Ordinal)
	return base64.RawURLEncoding.EncodeToString(raw)
}

// historyPlace returns the page after that of a token, the first one for none.
func historyPlace(token string) (consent.HistoryPage, error) {
	if token == "" {
		return consent.HistoryPage{}, nil
	}
	raw, err := tokenBytes(token, historyPages, 1+8+8+4)
	if err != nil {
		return consent.HistoryPage{}, err
	}
	return consent.HistoryPage{
		AfterTime:    consent.Time(binary.BigEndian.Uint64(raw[1:])),
		AfterIndex:   binary.BigEndian.Uint64(raw[9:]),
		AfterOrdinal: binary.BigEndian.Uint32(raw[17:]),
	}, nil
}

// policyToken names the last version of a page.
func policyToken(version int64) string {
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64([]byte{policyPages}, uint64(version)))
}

// policyPlace returns the version that the next page is below, zero for the first page.
func policyPlace(token string) (int64, error) {
	if token == "" {
		return 0, nil
	}
	raw, err := tokenBytes(token, policyPages, 1+8)
	if err != nil {
		return 0, err
	}
	return int64(binary.BigEndian.Uint64(raw[1:])), nil
}

func tokenBytes(token string, pages byte, size int) ([]byte, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	// Decoding passes over line breaks, so the length of what was decoded doesn't say that of the token.
	if err != nil || len(token) != base64.RawURLEncoding.EncodedLen(size) || len(raw) != size || raw[0] != pages {
		return nil, invalid("page_token", "it is no token of this list: pass on next_page_token exactly as a reply gave it")
	}
	return raw, nil
}
