//! The words of events.

use super::words;

words! {
    Events {
        title: "События", "Оқиғалар", "Events";
        one: "Событие", "Оқиға", "Event";
        gone: "Это событие удалено: события хранятся ограниченное время.", "Бұл оқиға жойылған: оқиғалар шектеулі уақыт сақталады.", "This event was removed: events are kept for a limited time.";
        to_list: "Все события", "Барлық оқиғалар", "All events";
        about: "Журнал рабочего пространства: каждое изменение и каждое своё событие, новые сверху.", "Жұмыс кеңістігінің журналы: әр өзгеріс және әр өз оқиға, жаңасы жоғарыда.", "The log of the workspace: every change and every event of an own type, the newest first.";
        kind: "Вид", "Түрі", "Type";
        change_kind: "Изменение", "Өзгеріс", "Change";
        entity: "Сущность", "Нысан", "Entity";
        entity_id: "Идентификатор", "Идентификаторы", "Id of the entity";
        custom_type: "Свой тип", "Өз түрі", "Custom type";
        change: "изменение", "өзгеріс", "change";
        link: "связь", "байланыс", "link";
        unlink: "связь снята", "байланыс алынды", "unlink";
        custom: "свой тип", "өз түрі", "own type";
        create: "создание", "құру", "created";
        patch: "правка", "түзету", "changed";
        delete: "удаление", "жою", "deleted";
        restore: "восстановление", "қалпына келтіру", "restored";
        time: "Время", "Уақыты", "Time";
        what: "Что", "Не болды", "What";
        name: "Название", "Атауы", "Name";
        by: "Кем", "Кім", "By";
        by_user: "пользователь {}", "пайдаланушы {}", "user {}";
        empty: "Событий ещё не было.", "Оқиғалар әлі болған жоқ.", "There were no events yet.";
        empty_todo: "Создайте что-нибудь через API, и оно появится здесь:", "API арқылы бірдеңе жасаңыз, ол осында көрінеді:", "Make something by the API, and it appears here:";
        empty_filtered: "Под эти условия не подходит ни одно событие.", "Бұл шарттарға ешбір оқиға сәйкес емес.", "No event matches.";
        empty_part: "На этой части журнала подходящих событий нет; посмотрите дальше.", "Журналдың бұл бөлігінде сәйкес оқиға жоқ; әрі қарай қараңыз.", "This part of the log has no matching events; look further.";
        docs: "Описание API", "API сипаттамасы", "The API's description";
        newer: "Новее", "Жаңарақ", "Newer";
        older: "Старше", "Ескірек", "Older";
        offset: "Место в журнале", "Журналдағы орны", "Offset";
        id: "Идентификатор события", "Оқиға идентификаторы", "Id of the event";
        what_changed: "Что изменилось", "Не өзгерді", "What has changed";
        member: "Поле", "Өріс", "Member";
        before: "Было", "Бұрын", "Before";
        after: "Стало", "Кейін", "After";
        added: "добавлено", "қосылды", "added";
        removed: "убрано", "алынды", "removed";
        changed: "изменено", "өзгерді", "changed";
        moved: "перемещено", "жылжыды", "moved";
        same: "Без изменений полей: {}.", "Өзгермеген өрістер: {}.", "Members that are the same: {}.";
        more: "Ещё отличий: {}.", "Тағы айырмашылықтар: {}.", "Further differences: {}.";
        nothing_changed: "Отличий нет.", "Айырмашылық жоқ.", "There is no difference.";
        whole_before: "Целиком, как было", "Толығымен, бұрынғысы", "The whole before";
        whole_after: "Целиком, как стало", "Толығымен, кейінгісі", "The whole after";
        receivers: "Кто получил", "Кім алды", "Who got it";
        no_receivers: "Вызовов для этого события нет: его никто не ждал, очередь до него не дошла или журнал вызовов уже очищен.", "Бұл оқиғаға шақыру болған жоқ: оны ешкім күтпеген, кезегі келмеген немесе шақырулар журналы тазартылған.", "There are no calls for this event: nobody wanted it, its turn has not come, or the log of calls was cleaned.";
        resend: "Отправить снова", "Қайта жіберу", "Send again";
        resend_all: "Отправить снова всем", "Бәріне қайта жіберу", "Send again to all";
        resending: "Событие отправляется снова.", "Оқиға қайта жіберілуде.", "The event is being sent again.";
    }
}
