-- Canonical forms and keyed tokens as DuckDB macros. docs/identity.md says what they mean and why.
-- @INNER_PAD@ and @OUTER_PAD@ are the HMAC pads of the token key, @IBANS@ the table in ibans.csv;
-- pipeline/tokens.py puts them in. A macro whose name begins with pw_ is not for use elsewhere.

-- Keyed hashes ---------------------------------------------------------------------------------------------

-- HMAC-SHA-256 as 64 hex digits. The pads are constants, so only the text is hashed for each row.
CREATE OR REPLACE MACRO pw_hmac(message) AS
    sha256(unhex('@OUTER_PAD@') || unhex(sha256(unhex('@INNER_PAD@') || encode(message))));

CREATE OR REPLACE MACRO pw_key64(message) AS
    CAST(CAST(unhex(left(pw_hmac(message), 16)) AS BIT) AS BIGINT);

CREATE OR REPLACE MACRO identity_token(kind, original) AS left(pw_hmac(kind || ':' || original), 32);

-- Accounts -------------------------------------------------------------------------------------------------

CREATE OR REPLACE MACRO canonical_account(original) AS
    nullif(upper(translate(original, ' -' || chr(9) || chr(160) || chr(8239), '')), '');

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

CREATE OR REPLACE MACRO is_account(account) AS
    CASE
        WHEN account IS NULL THEN NULL
        WHEN NOT regexp_full_match(account, '[A-Z]{2}(?:0[2-9]|[1-8][0-9]|9[0-8])[0-9A-Z]{11,30}') THEN false
        WHEN coalesce(left(pw_iban(account), 2), '') <> CAST(length(account) AS VARCHAR) THEN false
        WHEN regexp_full_match(account, '[A-Z]{2}[0-9]{2,36}') THEN
            TRY_CAST(
                substr(account, 5) || (ascii(account) - 55) || (ascii(substr(account, 2, 1)) - 55)
                || substr(account, 3, 2) AS HUGEINT
            ) % 97 = 1
        ELSE coalesce(pw_mod97(pw_digits(pw_moved(account))) = 1, false)
    END;

CREATE OR REPLACE MACRO account_token(account) AS identity_token('account', account);

-- National ids and birth dates -----------------------------------------------------------------------------

CREATE OR REPLACE MACRO pw_compact(original) AS
    upper(translate(original, ' .-' || chr(9) || chr(160) || chr(8239), ''));

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

CREATE OR REPLACE MACRO canonical_national_id(original) AS pw_checked_national_id(pw_compact(original));

CREATE OR REPLACE MACRO canonical_birth_date(original) AS
    CASE
        WHEN regexp_full_match(trim(original), '(?:18|19|20)[0-9]{6}') THEN trim(original)
        WHEN regexp_full_match(trim(original), '(?:18|19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}')
        THEN replace(trim(original), '-', '')
    END;

CREATE OR REPLACE MACRO is_complete_birth_date(birth8) AS
    regexp_full_match(birth8, '[0-9]{4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])');

CREATE OR REPLACE MACRO person_key(id13, birth8) AS
    CASE WHEN is_complete_birth_date(birth8) THEN pw_key64('person:' || id13 || '|' || birth8) END;

CREATE OR REPLACE MACRO id_key(id13) AS pw_key64('id:' || id13);

-- Names ----------------------------------------------------------------------------------------------------

-- Upper case, no marks, ligatures spelt out. Text that is plain ASCII already takes the short way.
CREATE OR REPLACE MACRO pw_folded(original) AS
    CASE WHEN strlen(original) = length(original) THEN upper(original)
    ELSE upper(strip_accents(translate(
        replace(replace(replace(replace(replace(replace(upper(original),
            'Œ', 'OE'), 'Æ', 'AE'), 'ẞ', 'SS'), 'Þ', 'TH'), 'ﬁ', 'FI'), 'ﬂ', 'FL'),
        'ØŁĐÐĦŦıŊ' || chr(173) || chr(8203) || chr(8204) || chr(8205) || chr(65279), 'OLDDHTIN'
    ))) END;

CREATE OR REPLACE MACRO pw_split(folded) AS
    list_filter(string_split(regexp_replace(folded, '[^\p{L}\p{N}]+', ' ', 'g'), ' '), LAMBDA w: w <> '');

-- The words that tell people apart; all of them where nothing else is left ("Le", "De" are surnames too).
CREATE OR REPLACE MACRO pw_telling(words) AS
    list_transform(
        [list_filter(words, LAMBDA w: w NOT IN (@PARTICLES@))], LAMBDA kept: CASE WHEN len(kept) > 0 THEN kept ELSE words END
    )[1];

CREATE OR REPLACE MACRO pw_spelt(words) AS
    list_transform(words, LAMBDA w: CASE w WHEN 'ST' THEN 'SAINT' WHEN 'STE' THEN 'SAINTE' ELSE w END);

CREATE OR REPLACE MACRO name_words(original) AS pw_spelt(pw_telling(pw_split(pw_folded(original))));

-- As one word, the way some systems write it: "Le Goff" as LEGOFF, "Dupont-Durand" as DUPONTDURAND.
CREATE OR REPLACE MACRO pw_glued(original) AS
    [regexp_replace(pw_folded(original), '[^\p{L}\p{N}]+', '', 'g')];

-- Each given name by itself; a hyphen joins two words to one name.
CREATE OR REPLACE MACRO pw_each_given(original) AS
    list_filter(string_split(regexp_replace(trim(original), '[\s,;]+', ' ', 'g'), ' '), LAMBDA w: w <> '');

CREATE OR REPLACE MACRO pw_surnames(family, birth_name) AS
    list_distinct(list_filter(
        [
            name_words(family), name_words(birth_name),
            CASE WHEN birth_name IS NOT NULL THEN list_concat(name_words(family), name_words(birth_name)) END,
            pw_glued(family), pw_glued(birth_name)
        ],
        LAMBDA s: len(s) > 0 AND s <> ['']
    ));

CREATE OR REPLACE MACRO pw_given(given) AS
    list_distinct(list_filter(
        list_concat(
            [name_words(given)],
            list_transform(pw_each_given(given), LAMBDA g: name_words(g)),
            CASE WHEN contains(given, '-') THEN [name_words(replace(given, '-', ''))] END
        ),
        LAMBDA g: len(g) > 0
    ));

CREATE OR REPLACE MACRO pw_full_name(surname, given) AS
    array_to_string(list_sort(list_distinct(list_concat(surname, given))), ' ');

CREATE OR REPLACE MACRO pw_name_keys(surnames, givens, birth8) AS
    CASE WHEN is_complete_birth_date(birth8) AND len(surnames) > 0 AND len(givens) > 0 THEN
        list_sort(list_distinct(list_transform(
            list_distinct(flatten(list_transform(
                surnames, LAMBDA s: list_transform(givens, LAMBDA g: pw_full_name(s, g))
            ))),
            LAMBDA name: pw_key64('name:' || name || '|' || birth8)
        )))
    END;

-- Of a member: every form under which a list may hold the name.
CREATE OR REPLACE MACRO name_keys(family, given, birth_name, birth8) AS
    pw_name_keys(pw_surnames(family, birth_name), pw_given(given), birth8);

-- Of a person on a list: as written, and with the first given name alone.
CREATE OR REPLACE MACRO listed_name_keys(family, given, birth8) AS
    pw_name_keys(
        list_filter([name_words(family)], LAMBDA s: len(s) > 0),
        list_filter([name_words(given), name_words(pw_each_given(given)[1])], LAMBDA g: len(g) > 0),
        birth8
    );

CREATE OR REPLACE MACRO name_tokens(a, b, c) AS
    nullif(list_sort(list_distinct(list_transform(
        list_concat(name_words(a), name_words(b), name_words(c)), LAMBDA w: pw_key64('word:' || w)
    ))), []);
