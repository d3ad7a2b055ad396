-- Canonical forms and keyed tokens as DuckDB macros. docs/identity.md says what they mean and why.
-- @INNER_PAD@ and @OUTER_PAD@ are the HMAC pads of the token key of persons, @LASTING_...@ those of the first token key,
-- @TRACE_...@ those of the key of traces, @IBANS@ the table in ibans.csv, @KEY64@ what a key of a person is made by;
-- pipeline/home/keys.py puts them in. A macro whose name begins with pw_ is not for use elsewhere.

-- Keyed hashes ---------------------------------------------------------------------------------------------

-- HMAC-SHA-256 as 64 hex digits. The pads are constants, so only the text is hashed for each row.
CREATE OR REPLACE MACRO pw_hmac(message) AS
    sha256(unhex('@OUTER_PAD@') || unhex(sha256(unhex('@INNER_PAD@') || encode(message))));

-- The first 64 bits, as a signed integer.
CREATE OR REPLACE MACRO pw_hmac64(message) AS
    CAST(CAST(unhex(left(pw_hmac(message), 16)) AS BIT) AS BIGINT);

-- A key of a person: with the newest token key, or with a former one where the lake kept it so.
CREATE OR REPLACE MACRO pw_key64(message) AS @KEY64@;

CREATE OR REPLACE MACRO identity_token(kind, original) AS left(pw_hmac(kind || ':' || original), 32);

-- What never changes: tokens of accounts, ids of derived changes.
CREATE OR REPLACE MACRO lasting_token(kind, original) AS
    left(sha256(unhex('@LASTING_OUTER_PAD@') || unhex(sha256(unhex('@LASTING_INNER_PAD@')
        || encode(kind || ':' || original)))), 32);

-- What is kept of something erased: under another key than tokens, so that the one does not tell the other.
CREATE OR REPLACE MACRO tombstone(kind, original) AS
    sha256(unhex('@TRACE_OUTER_PAD@') || unhex(sha256(unhex('@TRACE_INNER_PAD@') || encode(kind || '|' || original))));

-- Numbers as people paste them -----------------------------------------------------------------------------

-- Letters and digits in upper case, nothing else: no spaces, marks, quotes or invisible characters. What Unicode calls
-- another form of a plain letter or digit (NFKC: full width, mathematical) is that one; @OTHER_FORMS@ lists them.
-- Other letters stay, so that what has one of them is never taken for an account.
CREATE OR REPLACE MACRO pw_plain(letters) AS
    CASE WHEN strlen(letters) = length(letters) THEN letters
    ELSE translate(letters, '@OTHER_FORMS@', '@THEIR_PLAIN_FORMS@') END;

CREATE OR REPLACE MACRO pw_compact(original) AS
    CASE
        WHEN regexp_full_match(original, '[0-9A-Za-z]*') THEN upper(original)
        WHEN regexp_full_match(original, '[0-9A-Za-z ]*') THEN upper(replace(original, ' ', ''))
        ELSE upper(list_transform(
            [regexp_replace(original, '[^\p{L}\p{N}]+|[\x{115F}\x{1160}\x{3164}\x{FFA0}]+', '', 'g')],
            LAMBDA letters: pw_plain(letters)
        )[1])
    END;

-- Accounts -------------------------------------------------------------------------------------------------

CREATE OR REPLACE MACRO pw_after_iban(compact) AS
    CASE WHEN starts_with(compact, 'IBAN') THEN substr(compact, 5) ELSE compact END;

CREATE OR REPLACE MACRO canonical_account(original) AS nullif(pw_after_iban(pw_compact(original)), '');

CREATE OR REPLACE MACRO account_country(account) AS left(account, 2);

CREATE OR REPLACE MACRO account_last_four(account) AS right(account, 4);

-- Two digits each for length, first character and number of characters of the bank code, or null.
CREATE OR REPLACE MACRO pw_iban(account) AS
    CASE WHEN contains('@IBANS@', ';' || left(account, 2))
    THEN substr('@IBANS@', strpos('@IBANS@', ';' || left(account, 2)) + 3, 6) END;

CREATE OR REPLACE MACRO account_bank(account) AS
    nullif(substr(
        account,
        TRY_CAST(substr(pw_iban(account), 3, 2) AS INTEGER),
        TRY_CAST(substr(pw_iban(account), 5, 2) AS INTEGER)
    ), '');

CREATE OR REPLACE MACRO pw_moved(account) AS substr(account, 5) || left(account, 4);

-- Letters count as 10 to 35; most accounts have letters in the country code only.
CREATE OR REPLACE MACRO pw_digits(account) AS @LETTERS_TO_DIGITS@;

CREATE OR REPLACE MACRO pw_mod97(digits) AS
    TRY_CAST(
        CAST(TRY_CAST(
            CAST(TRY_CAST(left(digits, 30) AS HUGEINT) % 97 AS VARCHAR) || substr(digits, 31, 30) AS HUGEINT
        ) % 97 AS VARCHAR) || substr(digits, 61)
    AS HUGEINT) % 97;

-- A lambda over a list of one is how SQL says "let": its entry is worked out once a row, not once a mention.
CREATE OR REPLACE MACRO is_account(account) AS
    CASE
        WHEN account IS NULL THEN NULL
        WHEN NOT regexp_full_match(account, '[A-Z]{2}(?:0[2-9]|[1-8][0-9]|9[0-8])[0-9A-Z]{11,30}') THEN false
        WHEN regexp_full_match(account, '[A-Z]{2}[0-9]{2}0*') THEN false -- what fills an empty field
        WHEN coalesce(left(pw_iban(account), 2), '') <> CAST(length(account) AS VARCHAR) THEN false
        WHEN regexp_full_match(account, '[A-Z]{2}[0-9]{2,36}') THEN
            TRY_CAST(
                substr(account, 5) || (ascii(account) - 55) || (ascii(substr(account, 2, 1)) - 55)
                || substr(account, 3, 2) AS HUGEINT
            ) % 97 = 1
        ELSE coalesce(list_transform([pw_digits(pw_moved(account))], LAMBDA digits: pw_mod97(digits) = 1)[1], false)
    END;

CREATE OR REPLACE MACRO account_token(account) AS lasting_token('account', account);

-- National ids and birth dates -----------------------------------------------------------------------------

CREATE OR REPLACE MACRO national_id_key(id13) AS
    lpad(CAST(97 - TRY_CAST(
        replace(replace(id13, '2A', '19'), '2B', '18') AS BIGINT
    ) % 97 AS VARCHAR), 2, '0');

CREATE OR REPLACE MACRO pw_checked_national_id(compact) AS
    CASE
        WHEN NOT regexp_full_match(
            compact,
            '[123478][0-9]{2}(?:0[1-9]|1[0-2]|[23][0-9]|4[0-2]|[5-9][0-9])(?:[0-9]{2}|2[AB])[0-9]{6}(?:[0-9]{2})?'
        ) THEN NULL
        WHEN substr(compact, 11, 3) = '000' THEN NULL
        WHEN length(compact) = 13 OR substr(compact, 14) = national_id_key(left(compact, 13)) THEN left(compact, 13)
    END;

-- A spreadsheet writes a number with `.0`.
CREATE OR REPLACE MACRO pw_whole(original) AS regexp_replace(original, '[.]0$', '');

CREATE OR REPLACE MACRO canonical_national_id(original) AS
    pw_checked_national_id(pw_compact(CASE WHEN ends_with(original, '.0') THEN pw_whole(original) ELSE original END));

CREATE OR REPLACE MACRO canonical_birth_date(original) AS
    CASE
        WHEN regexp_full_match(trim(original), '(?:18|19|20)[0-9]{6}') THEN trim(original)
        WHEN regexp_full_match(trim(original), '(?:18|19|20)[0-9]{6}[.]0') THEN pw_whole(trim(original))
        WHEN regexp_full_match(trim(original), '(?:18|19|20)[0-9]{2}([-/.][0-9]{1,2}){2}')
        THEN list_transform(
            [regexp_split_to_array(trim(original), '[-/.]')],
            LAMBDA p: p[1] || lpad(p[2], 2, '0') || lpad(p[3], 2, '0')
        )[1]
    END;

CREATE OR REPLACE MACRO is_complete_birth_date(birth8) AS
    regexp_full_match(birth8, '[0-9]{4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])');

CREATE OR REPLACE MACRO person_key(id13, birth8) AS
    CASE WHEN is_complete_birth_date(birth8) THEN pw_key64('person:' || id13 || '|' || birth8) END;

CREATE OR REPLACE MACRO id_key(id13) AS pw_key64('id:' || id13);

-- Names ----------------------------------------------------------------------------------------------------

-- Upper case, no marks, ligatures spelt out.
CREATE OR REPLACE MACRO pw_folded_latin(original) AS
    upper(strip_accents(translate(
        replace(replace(replace(replace(replace(replace(upper(original),
            'Œ', 'OE'), 'Æ', 'AE'), 'ẞ', 'SS'), 'Þ', 'TH'), 'ﬁ', 'FI'), 'ﬂ', 'FL'),
        'ØŁĐÐĦŦıŊ' || chr(173) || chr(8203) || chr(8204) || chr(8205) || chr(65279), 'OLDDHTIN'
    )));

CREATE OR REPLACE MACRO pw_visible(original) AS
    regexp_replace(original, '[\p{Cf}\x{34F}\x{FE00}-\x{FE0F}]+', '', 'g');

-- Letters of other alphabets and styles as the Latin letters that they look like, unless the text is really in
-- another alphabet: then some letters look like no Latin ones.
CREATE OR REPLACE MACRO pw_latin(original) AS
    list_transform(
        [replace(replace(replace(translate(pw_visible(original), '@LOOK_ALIKES@', '@LATIN@'),
            'ﬀ', 'ff'), 'ﬃ', 'ffi'), 'ﬄ', 'ffl')],
        LAMBDA latin: CASE WHEN regexp_matches(latin, '[\p{Greek}\p{Cyrillic}]') THEN pw_visible(original)
            ELSE latin END
    )[1];

-- Text that is plain ASCII takes the short way, and only text with characters of other alphabets takes the long one.
CREATE OR REPLACE MACRO pw_folded(original) AS
    CASE WHEN strlen(original) = length(original) THEN upper(original)
    WHEN regexp_matches(original, '[^\x{00}-\x{17F}\x{300}-\x{333}’]') THEN pw_folded_latin(pw_latin(original))
    ELSE pw_folded_latin(original) END;

CREATE OR REPLACE MACRO pw_spaced(folded) AS
    ' ' || trim(regexp_replace(folded, '[^\p{L}\p{N}]+', ' ', 'g')) || ' ';

-- The telling words in their order, one space between them; '' when there is none. A name that is particles
-- and nothing else keeps them (the first alternative): "Le" and "De" are surnames too.
CREATE OR REPLACE MACRO canonical_name(original) AS
    CASE
        WHEN regexp_full_match(original, '[A-Za-z]*') THEN upper(original)  -- one plain word, the common case
        ELSE trim(replace(replace(
            regexp_replace(
                pw_spaced(pw_folded(original)), '^((?: (?:@PARTICLES@))+ )$| (?:(?:@PARTICLES@) )+', '\1 ', 'g'
            ), ' ST ', ' SAINT '), ' STE ', ' SAINTE '))
    END;

-- The same name whichever field holds which word: both names' words, sorted. Null unless both are there.
CREATE OR REPLACE MACRO full_name(one, other) AS
    CASE WHEN one = '' OR other = '' THEN NULL
    WHEN contains(one, ' ') OR contains(other, ' ')
    THEN array_to_string(list_sort(string_split(one || ' ' || other, ' ')), ' ')
    WHEN one < other THEN one || ' ' || other
    WHEN one > other THEN other || ' ' || one
    WHEN one = other THEN one END;

CREATE OR REPLACE MACRO name_key(name, birth8) AS pw_key64('name:' || name || '|' || birth8);

-- The first of several given names, else null. A hyphen joins two words to one name.
CREATE OR REPLACE MACRO first_given_name(given) AS
    CASE WHEN regexp_matches(given, '[^\s,;][\s,;]+[^\s,;]') THEN regexp_extract(given, '[^\s,;]+') END;

-- As one word, the way some systems write it: "Le Goff" as LEGOFF, "Dupont-Durand" as DUPONTDURAND.
CREATE OR REPLACE MACRO pw_glued(original) AS
    CASE WHEN regexp_matches(original, '[^\p{L}\p{N}]')
    THEN regexp_replace(pw_folded(original), '[^\p{L}\p{N}]+', '', 'g') END;

-- A canonical name without titles and words such as EPOUSE; a name that is nothing else keeps them.
CREATE OR REPLACE MACRO pw_bare(canonical) AS
    CASE WHEN NOT contains(canonical, ' ') THEN canonical
    ELSE coalesce(nullif(trim(regexp_replace(
        regexp_replace(' ' || canonical || ' ', '^(?: (?:@TITLES@|@FIRST_TITLES@))+ ', ' '),
        ' (?:(?:@TITLES@|@BETWEEN@) )+', ' ', 'g'
    )), ''), canonical) END;

CREATE OR REPLACE MACRO bare_name(original) AS pw_bare(canonical_name(original));

-- The surnames of a text that has several: "MARTIN épouse DURAND", "Durand (Martin)".
CREATE OR REPLACE MACRO pw_pieces(original) AS
    CASE WHEN regexp_matches(original, '[(/,;]') OR regexp_matches(canonical_name(original), ' (?:@BETWEEN@) ')
    THEN list_filter(
        list_transform(
            string_split(regexp_replace(
                pw_folded(original), '[(),;/|]+|[^\p{L}\p{N}]+(?:@BETWEEN@)[^\p{L}\p{N}]+', '|', 'g'
            ), '|'),
            LAMBDA piece: bare_name(piece)
        ), LAMBDA piece: piece <> ''
    ) END;

-- MUELLER as MULLER, which is also how MÜLLER is folded. Not QUENTIN, ROUET, SAMUEL.
CREATE OR REPLACE MACRO pw_without_umlauts(canonical) AS
    regexp_replace(canonical, '(^|[^AEIOUYQ])([AOU])E([BCDFGHJKLMNPQRSTVWXZ]+[A-Z])', '\1\2\3', 'g');

-- MÜLLER as MUELLER.
CREATE OR REPLACE MACRO pw_spelt_umlauts(original) AS
    CASE WHEN regexp_matches(original, '[ÄÖÜäöü]|[AOUaou]\x{308}') THEN
        canonical_name(regexp_replace(nfc_normalize(upper(original)), '[ÄÖÜ]', '\0E', 'g')) END;

CREATE OR REPLACE MACRO pw_with_both(surnames, family, birth_name) AS
    CASE WHEN birth_name IS NULL THEN surnames
    ELSE list_concat(surnames, [trim(canonical_name(family) || ' ' || canonical_name(birth_name)),
        trim(bare_name(family) || ' ' || bare_name(birth_name))]) END;

-- Every form of one surname field.
CREATE OR REPLACE MACRO pw_forms(surname) AS
    list_concat([canonical_name(surname), pw_glued(surname), bare_name(surname)], pw_pieces(surname));

CREATE OR REPLACE MACRO pw_surnames(family, birth_name) AS
    pw_with_both(
        CASE WHEN birth_name IS NULL THEN pw_forms(family)
        ELSE list_concat(pw_forms(family), pw_forms(birth_name)) END,
        family, birth_name
    );

-- Without the titles before it: "Mme Anne Marie" as "Anne Marie".
CREATE OR REPLACE MACRO untitled(given) AS
    regexp_replace(given, '(?i)^[^\p{L}]*(?:(?:@TITLES@|@FIRST_TITLES@|M|MME|MLLE|MR|MRS)[.\s]+)+([^\s.])', '\1');

CREATE OR REPLACE MACRO pw_givens(given) AS
    CASE WHEN NOT regexp_matches(given, '[\s,;-]') THEN [canonical_name(given)]
    ELSE list_concat(
        [canonical_name(given), canonical_name(replace(given, '-', '')), bare_name(given)],
        list_transform(
            string_split(regexp_replace(untitled(given), '[\s,;]+', ' ', 'g'), ' '), LAMBDA g: canonical_name(g)
        )
    ) END;

-- Again a "let".
CREATE OR REPLACE MACRO pw_not_empty(entries) AS
    list_transform([entries], LAMBDA e: CASE WHEN len(e) > 0 THEN e END)[1];

-- The full names of every surname with every given name; also with umlauts as one letter.
CREATE OR REPLACE MACRO pw_full_names(surnames, givens) AS
    list_transform(
        [{'surnames': list_distinct(surnames), 'givens': list_distinct(givens)}],
        LAMBDA r: list_filter(list_distinct(flatten(list_transform(
            r.surnames, LAMBDA s: flatten(list_transform(r.givens, LAMBDA g: [
                full_name(s, g), full_name(pw_without_umlauts(s), pw_without_umlauts(g))
            ]))
        ))), LAMBDA name: name IS NOT NULL)
    )[1];

-- Of a member: every form under which a list may hold the name.
CREATE OR REPLACE MACRO name_keys(family, given, birth_name, birth8) AS
    CASE WHEN is_complete_birth_date(birth8) THEN
        pw_not_empty(list_sort(list_transform(
            pw_full_names(pw_surnames(family, birth_name), pw_givens(given)), LAMBDA name: name_key(name, birth8)
        )))
    END;

-- What decides it at a low price, as lists are long: a family name of plain letters without a spelt umlaut, and given
-- names that are also ASCII words without a title, have no other forms.
CREATE OR REPLACE MACRO pw_may_have_other_forms(family, given) AS
    regexp_matches(family, '[^A-Za-zÀ-ÖØ-öø-ÿ]|[AOUaou][Ee][A-Za-z]{2}')
    OR regexp_matches(given, '[^A-Za-zÀ-ÖØ-öø-ÿ\s]|[AOUaou][Ee][A-Za-z]{2}')
    OR (regexp_matches(given, '\s') AND (strlen(given) <> length(given) OR regexp_matches(
        given, '(?i)(?:^|\s)(?:@TITLES@|@FIRST_TITLES@|M|MME|MLLE|MR|MRS|@BETWEEN@)(?:\s|$)'
    )));

-- Of a person on a list: the forms besides two, the name as written and with the first given name; null when there are
-- none, as for most people.
CREATE OR REPLACE MACRO other_name_keys(family, given, name, first_name, birth8) AS
    CASE WHEN is_complete_birth_date(birth8) AND pw_may_have_other_forms(family, given)
    THEN pw_other_name_keys(family, given, name, first_name, birth8) END;

CREATE OR REPLACE MACRO pw_other_name_keys(family, given, name, first_name, birth8) AS
    pw_not_empty(list_sort(list_transform(
        list_filter(
            pw_full_names(pw_forms(family), [
                canonical_name(given), bare_name(given), canonical_name(replace(given, '-', '')),
                canonical_name(first_given_name(untitled(given)))
            ]),
            LAMBDA other: other IS DISTINCT FROM name AND other IS DISTINCT FROM first_name
        ),
        LAMBDA other: name_key(other, birth8)
    )));

-- What has to agree at each level of SPELLINGS in pipeline/home/keys.py, in that order, so that one error is tolerated:
-- consonants, or a part of the name, with the birth date; or the names with a part of the birth date.
CREATE OR REPLACE MACRO pw_consonants(canonical) AS nullif(translate(canonical, 'AEIOUYHW ', ''), '');

-- Null unless both are there; least and greatest alone skip nulls.
CREATE OR REPLACE MACRO pw_unordered(one, other) AS
    CASE WHEN one <= other THEN one || '|' || other WHEN one > other THEN other || '|' || one END;

CREATE OR REPLACE MACRO pw_spellings_of(surname, given, name, birth8) AS [
    pw_unordered(pw_consonants(surname), pw_consonants(given)) || '|' || birth8,
    name || '|' || left(birth8, 4) || pw_unordered(substr(birth8, 5, 2), right(birth8, 2)),
    name || '|' || left(birth8, 6),
    surname || '|' || left(given, 1) || '|' || birth8,
    left(surname, 1) || '|' || given || '|' || birth8,
    pw_unordered(left(surname, 2), left(given, 2)) || '|' || birth8,
    surname || '|' || birth8,
    given || '|' || birth8
];

-- The names that are compared, or null. Of several given names the first counts.
CREATE OR REPLACE MACRO spelling_surname(family) AS nullif(bare_name(family), '');

CREATE OR REPLACE MACRO spelling_given(given) AS nullif(canonical_name(coalesce(first_given_name(given), given)), '');

-- Of names as the two macros above give them, and a complete birth date: one key per level, null where there is nothing to
-- compare. One of the two names is enough for the last levels. Give it columns: as they are mentioned often, calls would be worked out as often.
CREATE OR REPLACE MACRO spelling_keys(surname, given, birth8) AS
    list_transform(
        pw_spellings_of(surname, given, full_name(surname, given), birth8),
        LAMBDA spelling, level: pw_key64('spelling' || level || ':' || spelling)
    );

-- Of a member: the keys of the family name and of the birth name, sorted; the level shows on the list's side.
CREATE OR REPLACE MACRO joined_spelling_keys(of_family, of_birth_name) AS
    pw_not_empty(list_sort(list_filter(
        list_distinct(list_concat(of_family, of_birth_name)), LAMBDA key: key IS NOT NULL
    )));

-- The words of a name as they are, with umlauts as one letter and as two, and the name as one word.
CREATE OR REPLACE MACRO pw_spellings(original) AS
    list_transform([canonical_name(original)], LAMBDA name: pw_words(
        concat_ws(' ', name, pw_glued(original)), pw_without_umlauts(name),
        concat_ws(' ', pw_spelt_umlauts(original), regexp_replace(name, '\b([B-DF-HJ-NP-TV-XZ]*[AOU])([B-DF-HJ-NP-TV-XZ])', '\1E\2', 'g'))
    ))[1];

CREATE OR REPLACE MACRO pw_word_tokens(words) AS
    pw_not_empty(list_sort(list_transform(
        list_filter(list_distinct(words), LAMBDA w: w <> ''), LAMBDA w: pw_key64('word:' || w)
    )));

CREATE OR REPLACE MACRO pw_words(a, b, c) AS string_split(concat_ws(' ', a, b, c), ' ');

-- Each word of up to three names, keyed.
CREATE OR REPLACE MACRO name_tokens(a, b, c) AS
    pw_word_tokens(pw_words(canonical_name(a), canonical_name(b), canonical_name(c)));

-- Each word of a holder's name that says who it is.
CREATE OR REPLACE MACRO holder_tokens(original) AS pw_word_tokens(string_split(bare_name(original), ' '));

-- Each word of a member's names in every spelling that a holder's name may have: MÜLLER, MUELLER and MULLER are the
-- same, whichever of them the member's row has.
CREATE OR REPLACE MACRO member_tokens(family, given, birth_name) AS
    pw_word_tokens(list_concat(
        list_concat(pw_spellings(family), pw_spellings(birth_name)), pw_spellings(given)
    ));
