;; Speaks sentences.scm with Festival's HTS voice cmu_us_slt_arctic_hts (32 kHz) and labels what it spoke.
;;
;;   festival -b '(define SENTENCES "build/teachers/sentences.scm")' '(define OUT "build/teachers/slt")' \
;;            teachers/festival_dump.scm > build/teachers/slt.lab
;;
;; Writes OUT/<id>.wav; the labels on stdout are described in builtin_voice/labels.py.

(voice_cmu_us_slt_arctic_hts)

(define (label_words utt)
  "Prints the W lines and leaves word index, stress and place in the syllable on the segments."
  (let ((index 0))
    (mapcar
     (lambda (word)
       (format t "W\t%d\t%s\t\t%s\n" index (item.name word) (item.feat word "R:Token.parent.punc"))
       (mapcar
        (lambda (syllable)
          (let ((first 1))
            (mapcar
             (lambda (segment)
               (item.set_feat segment "word_index" index)
               (item.set_feat segment "syllable_start" first)
               (item.set_feat segment "syllable_stress" (item.feat syllable "stress"))
               (set! first 0))
             (item.daughters syllable))))
        (item.daughters (item.relation word 'SylStructure)))
       (set! index (+ 1 index)))
     (utt.relation.items utt 'Word))))

(define (label_segment segment)
  (if (string-equal "pau" (item.name segment))
      (format t "S\tpau\t%f\t0\t0\t-1\n" (item.feat segment "end"))
      (format t "S\t%s\t%f\t%s\t%s\t%s\n" (item.name segment) (item.feat segment "end")
              (item.feat segment "syllable_stress") (item.feat segment "syllable_start")
              (item.feat segment "word_index"))))

(define (dump id text)
  (let ((utt (utt.synth (eval (list 'Utterance 'Text text)))))
    (format t "U\t%s\t32000\n" id)
    (label_words utt)
    (mapcar label_segment (utt.relation.items utt 'Segment))
    (format t "E\n")
    (utt.save.wave utt (string-append OUT "/" id ".wav") 'riff)))

(mapcar (lambda (sentence) (dump (car sentence) (cadr sentence))) (load SENTENCES t))
