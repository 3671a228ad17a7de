// Task Orchestrator, the board: the whole script. The page works without it: everything is a
// link or a form.
//
// What templates say to it (the stream itself is described in live.py):
//
// body    data-live="now" or "status"   the fragments that the stream sends; none without it
//         data-have="status:1a2b …"     their versions in this page (live.versions)
//         data-since="1712-0"           the newest event when the page was read (live.cursor)
//         data-now="1712000000000"      the server's time in ms, for the ages
//         data-csrf="…"                 filled into input[name=csrf][value=""] of new fragments
//         data-count="3"                how many things need a person: the title and the icon
// live    #status #needs-you #agents #projects #flow #events, replaced by id. The first element
//         of #status is .live, with the state in words in its [role=status].
//         #needs-you[data-count] carries the new count.
// row     [data-key="item_11aa22bb"]    what comes, goes and fades as one: li, tr; unique in its
//         fragment. Attributes and texts of a row with the same key are replaced in place.
// other   [data-refresh="/projects/proj_1"][id]   read again from that path, and replaced by the
//         element with the same id of the answer, when an event names one of the ids in its
//         data-on="item_11aa22bb proj_33cc44dd" ("*": any event).
// age     <time datetime="2026-03-12T11:50:02Z">: the script writes "14 min". data-form="ago"
//         "14 min ago", "left" "22 min left", "for" (the default) "14 min". The text that the
//         server writes, such as "11:50 UTC", is for readers without the script.
// bar     svg.bar[data-from][data-until] (ms): the script keeps rect's width at what is left.
// stop    [data-stop]: where j and k stop, a link or a button; not inside of .settled.
// drawer  a[data-drawer]: its page is fetched, and the dialog.drawer in it is opened over this
//         page. dialog.drawer[data-back="/"] says where closing leads if it was opened directly.
// do      button[data-do=theme|pause|help|copy|all|close]. copy copies the code beside it; all
//         checks the checkboxes of its table.
// form    form[method=post]: sent by fetch with "Accept: text/fragment+html". A 2xx answer holds
//         <output> with the receipt, and if the page changes, <output data-next="/path">; other
//         answers hold the form again, filled in, with [role=alert]. form[data-plain] is sent by
//         the browser. input[name=key] makes a form act once.
// ask     button[data-ask="Cancel Login form?"] asks first, in #ask. data-why what follows,
//         data-yes the word of the button, data-text the label of a text, data-name the name of
//         its field (text), .danger. The form is then sent with confirm=yes; without the script
//         there is no such field, and the server answers with a page that asks.
// file    input[type=file][data-into="plan"]: the text of the file goes into that field.
// once    dialog#ask, dialog#help, p#say[role=status], input[type=search] for /.
