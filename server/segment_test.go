package server

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/grpc/codes"
)

// segmentOnce asks for one chunk.
func segmentOnce(t *testing.T, r *rig, s *consentv1.Segment, list *consentv1.SubjectList) (*consentv1.CheckSegmentResponse, error) {
	t.Helper()
	stream, err := r.permissions.CheckSegment(background(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*consentv1.CheckSegmentRequest{
		{Message: &consentv1.CheckSegmentRequest_Segment{Segment: s}}, {Message: &consentv1.CheckSegmentRequest_Subjects{Subjects: list}},
	} {
		if err := stream.Send(m); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	return stream.Recv()
}

func packed(ids ...string) *consentv1.SubjectList {
	list := &consentv1.SubjectList{Packed: []byte(strings.Join(ids, ""))}
	for _, id := range ids {
		list.Lengths = append(list.Lengths, uint32(len(id)))
	}
	return list
}

func TestCheckSegment(t *testing.T) {
	r := newRig(t)
	r.write(t, grant(anna, "recommendations/web"), event("bob", consentv1.EventKind_EVENT_KIND_WITHDRAWN))
	ids := []string{"bob", anna, "", "carl", " ANNA@example.org ", strings.Repeat("x", 257), "d", "e", "f", anna}
	for name, list := range map[string]*consentv1.SubjectList{"ids": {Ids: ids}, "packed": packed(ids...)} {
		t.Run(name, func(t *testing.T) {
			bits := must[*consentv1.CheckSegmentResponse](t)(segmentOnce(t, r, &consentv1.Segment{Permission: "recommendations/web"}, list))
			if want := []byte{1<<1 | 1<<4, 1 << 1}; !slices.Equal(bits.GetAnswers(), want) {
				t.Errorf("bits %08b, want %08b", bits.GetAnswers(), want)
			}
			if bits.GetSubjects() != 10 || !slices.Equal(bits.GetUnusable(), []uint32{2, 5}) || bits.GetRevision() == "" ||
				bits.GetPolicyVersion() != 1 || bits.GetNextChange() == nil || bits.GetCacheFor() == nil || bits.GetAge() == nil {
				t.Errorf("reply %v", bits)
			}
			counts := map[consentv1.Reason]int64{}
			for _, c := range bits.GetCounts() {
				counts[c.GetReason()] = c.GetCount()
			}
			if len(counts) != 3 || counts[consentv1.Reason_REASON_CONSENT] != 3 || counts[consentv1.Reason_REASON_WITHDRAWN] != 1 ||
				counts[consentv1.Reason_REASON_NO_CONSENT] != 4 {
				t.Errorf("counts %v", counts)
			}
			reasons := must[*consentv1.CheckSegmentResponse](t)(segmentOnce(t, r, &consentv1.Segment{
				Permission: "recommendations/web", Form: consentv1.SegmentForm_SEGMENT_FORM_REASONS,
			}, list))
			withdrawn, given, never := byte(consent.ReasonWithdrawn), byte(consent.ReasonConsent), byte(consent.ReasonNoConsent)
			if want := []byte{withdrawn, given, 0, never, given, 0, never, never, never, given}; !slices.Equal(reasons.GetAnswers(), want) {
				t.Errorf("reasons %v, want %v", reasons.GetAnswers(), want)
			}
		})
	}
}

func TestPackedIDsNeedNotBeText(t *testing.T) {
	r := newRig(t)
	reply := must[*consentv1.CheckSegmentResponse](t)(segmentOnce(t, r, &consentv1.Segment{Permission: "crm_storage"}, packed("a", "\xff\xfe", "b")))
	if !slices.Equal(reply.GetUnusable(), []uint32{1}) {
		t.Errorf("unusable %v, want the one that isn't UTF-8", reply.GetUnusable())
	}
}

func TestCheckSegmentRefuses(t *testing.T) {
	r := newRig(t)
	good := &consentv1.Segment{Permission: "crm_storage"}
	tests := []struct {
		name    string
		segment *consentv1.Segment
		list    *consentv1.SubjectList
		field   string
	}{
		{"no ids", good, &consentv1.SubjectList{}, "subjects"},
		{"too many ids", good, &consentv1.SubjectList{Ids: make([]string, 100_001)}, "subjects"},
		{"both forms", good, &consentv1.SubjectList{Ids: []string{"a"}, Lengths: []uint32{1}, Packed: []byte("a")}, "subjects"},
		{"lengths too long", good, &consentv1.SubjectList{Lengths: []uint32{2, 9}, Packed: []byte("ab")}, "subjects.lengths"},
		{"lengths too short", good, &consentv1.SubjectList{Lengths: []uint32{1}, Packed: []byte("ab")}, "subjects.lengths"},
		{"lengths that overflow", good, &consentv1.SubjectList{Lengths: []uint32{1<<32 - 1, 3}, Packed: []byte("ab")}, "subjects.lengths"},
		{"packed without lengths", good, &consentv1.SubjectList{Packed: []byte("ab")}, "subjects"},
		{"no subjects at all", good, nil, "subjects"},
		{"form", &consentv1.Segment{Permission: "crm_storage", Form: 9}, packed("a"), "segment.form"},
		{"subject type", &consentv1.Segment{Permission: "crm_storage", SubjectType: 9}, packed("a"), "subject_type"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := segmentOnce(t, r, tt.segment, tt.list)
			wantViolation(t, err, tt.field)
		})
	}
	stream := must[consentv1.PermissionService_CheckSegmentClient](t)(r.permissions.CheckSegment(background(t)))
	if err := stream.Send(&consentv1.CheckSegmentRequest{}); err != nil {
		t.Fatal(err)
	}
	_, err := stream.Recv()
	wantViolation(t, err, "segment")
	_, err = segmentOnce(t, r, &consentv1.Segment{Permission: "no/such"}, packed("a"))
	wantError(t, err, codes.NotFound, "UNKNOWN_PERMISSION")
	_, err = segmentOnce(t, r, &consentv1.Segment{Permission: "crm_storage", Tenant: "nobody"}, packed("a"))
	wantError(t, err, codes.NotFound, "UNKNOWN_TENANT")
}

// TestSegmentAllocations decides chunks of two sizes: what a chunk allocates doesn't grow with its subjects.
func TestSegmentAllocations(t *testing.T) {
	memory := newMemory()
	memory.put(t, defaultTenant, testPolicy)
	ctx := background(t)
	view, err := memory.View(ctx, consent.Consistency{})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{State: fixedState{view}}
	o.setDefaults()
	s, err := newCore(o).segmentOf(&consentv1.CheckSegmentRequest{Message: &consentv1.CheckSegmentRequest_Segment{
		Segment: &consentv1.Segment{Permission: "recommendations/web"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, subjects := range []int{100, 10_000} {
		ids := make([]string, subjects)
		for i := range ids {
			ids[i] = fmt.Sprintf("s%d@example.org", i)
		}
		message := &consentv1.CheckSegmentRequest{Message: &consentv1.CheckSegmentRequest_Subjects{Subjects: packed(ids...)}}
		got := testing.AllocsPerRun(100, func() {
			if _, err := s.decide(ctx, message); err != nil {
				t.Fatal(err)
			}
		})
		if got > 12 {
			t.Errorf("a chunk of %d subjects allocates %v times, want 12 at most", subjects, got)
		}
	}
}
